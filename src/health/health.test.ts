import { request } from 'node:http';
import { Registry } from 'prom-client';
import { afterEach, describe, expect, test } from 'vitest';
import { aggregateChecks } from './aggregate.ts';
import { type BackupCheck, type BackupState, backupCheck } from './backup-check.ts';
import { type RunningServer, startHttpServer } from './http-server.ts';
import { type HealthSources, healthRoutes } from './routes.ts';

const at = (hour: number) => Date.UTC(2026, 10, 23, hour);
const success = { atMs: at(3), archive: '/b/km-backup-1.tgz', deleted: 2, sizeBytes: 99 };
const failure = (hour: number) => ({ atMs: at(hour), error: 'no space' });
const told = {
  last_success: '2026-11-23T03:00:00.000Z',
  archive: '/b/km-backup-1.tgz',
  deleted: 2,
  size_bytes: 99,
};

/** At that hour, from the archive of one o'clock. */
const recovered = (hour: number) => ({
  atMs: at(hour),
  archive: 'km-backup-0.tgz',
  archiveAtMs: at(1),
  sizeBytes: 77,
});
const restoredTo = {
  last_success: '2026-11-23T01:00:00.000Z',
  archive: 'km-backup-0.tgz',
  deleted: 0,
  size_bytes: 77,
  restored_archive: 'km-backup-0.tgz',
  restored_archive_timestamp: '2026-11-23T01:00:00.000Z',
  restored_at: '2026-11-23T05:00:00.000Z',
};

describe('the backup check', () => {
  test.each<[string, BackupState, BackupCheck]>([
    ['switched off', { enabled: false }, { status: 'disabled' }],
    ['switched off after runs', { enabled: false, lastSuccess: success }, { status: 'disabled', ...told }],
    ['before the first run', { enabled: true }, { status: 'pending' }],
    ['after a success', { enabled: true, lastSuccess: success }, { status: 'ok', ...told }],
    [
      'recovered',
      { enabled: true, lastSuccess: success, lastFailure: failure(2) },
      { status: 'ok', ...told },
    ],
    [
      'failed since',
      { enabled: true, lastSuccess: success, lastFailure: failure(4) },
      { status: 'error', ...told, last_failure: '2026-11-23T04:00:00.000Z', error: 'no space' },
    ],
    [
      'never succeeded',
      { enabled: true, lastFailure: failure(4) },
      { status: 'error', last_failure: '2026-11-23T04:00:00.000Z', error: 'no space' },
    ],
    ['stopped', { enabled: true, stopped: true, lastSuccess: success }, { status: 'stopped', ...told }],
    [
      'restored since: the time of the recovered archive',
      { enabled: true, lastSuccess: success, restored: recovered(5) },
      { status: 'ok', ...restoredTo },
    ],
    [
      'restored before the last success',
      { enabled: true, lastSuccess: success, restored: recovered(2) },
      { status: 'ok', ...told },
    ],
    [
      'failed, and restored since',
      { enabled: true, lastSuccess: success, lastFailure: failure(4), restored: recovered(5) },
      {
        status: 'error',
        ...restoredTo,
        last_failure: '2026-11-23T04:00:00.000Z',
        error: 'no space',
      },
    ],
    [
      'restored before the first run',
      { enabled: true, restored: recovered(5) },
      { status: 'pending', ...restoredTo },
    ],
    [
      'restored and switched off',
      { enabled: false, restored: recovered(5) },
      { status: 'disabled', ...restoredTo },
    ],
    [
      'restored from an archive of unknown age',
      { enabled: true, lastSuccess: success, restored: { ...recovered(5), archiveAtMs: undefined } },
      {
        status: 'ok',
        ...told,
        restored_archive: 'km-backup-0.tgz',
        restored_at: '2026-11-23T05:00:00.000Z',
      },
    ],
    ['not read yet', { enabled: true, known: false, lastSuccess: success }, { status: 'unknown' }],
  ])('%s', (_, state, expected) => {
    expect(backupCheck(state)).toEqual(expected);
  });
});

describe('over many schedules', () => {
  const ok: BackupCheck = { status: 'ok', last_success: 'b' };
  test('none is disabled', () => {
    expect(aggregateChecks(new Map())).toEqual({ status: 'disabled', counts: {}, schedules: {} });
  });
  test('the worst wins and is named', () => {
    const bad: BackupCheck = { status: 'error', last_failure: 'c', error: 'boom' };
    const result = aggregateChecks(
      new Map<string, BackupCheck>([
        ['a/ok', ok],
        ['a/off', { status: 'disabled' }],
        ['b/bad', bad],
        ['a/older', { status: 'error', last_failure: 'b', error: 'old' }],
      ]),
    );
    expect(result).toMatchObject({
      status: 'error',
      error: 'b/bad: boom',
      last_failure: 'c',
      counts: { error: 2, ok: 1, disabled: 1 },
    });
    expect(Object.keys(result.schedules)).toEqual(['b/bad', 'a/older', 'a/ok', 'a/off']);
    expect(result.schedules['b/bad']).toEqual(bad);
  });
  test.each([
    [['ok', 'disabled'], 'ok'],
    [['ok', 'pending'], 'pending'],
    [['stopped', 'pending'], 'stopped'],
    [['unknown', 'stopped'], 'unknown'],
    [['disabled', 'disabled'], 'disabled'],
  ] as const)('%j is %s', (statuses, expected) => {
    const checks = new Map<string, BackupCheck>(statuses.map((status, index) => [`a/${index}`, { status }]));
    expect(aggregateChecks(checks).status).toBe(expected);
  });
  test('the list is bounded, and holds the bad ones', () => {
    const checks = new Map<string, BackupCheck>();
    for (let index = 0; index < 5000; index += 1) checks.set(`a/${index}`, ok);
    checks.set('z/bad', { status: 'error', error: 'x' });
    const result = aggregateChecks(checks);
    expect(Object.keys(result.schedules)).toHaveLength(100);
    expect(result.schedules['z/bad']).toBeDefined();
    expect(result.counts).toEqual({ error: 1, ok: 5000 });
  });
});

describe('over HTTP', () => {
  let server: RunningServer | undefined;
  const errors: unknown[] = [];
  afterEach(async () => {
    await server?.close();
    server = undefined;
    errors.length = 0;
  });

  async function serve(sources: Partial<HealthSources>): Promise<string> {
    server = await startHttpServer({
      host: '127.0.0.1',
      port: 0,
      routes: healthRoutes({ metrics: new Registry(), checks: () => ({ status: 'pending' }), ...sources }),
      onError: (error) => errors.push(error),
    });
    return server.url;
  }

  const many = new Map<string, BackupCheck>([
    ['a/x', { status: 'ok' }],
    ['a/y', { status: 'error', error: 'boom' }],
    ['b/x', { status: 'pending' }],
  ]);
  test.each([
    ['', 503, 'error'],
    ['?namespace=a', 503, 'error'],
    ['?namespace=b', 200, 'pending'],
    ['?namespace=none', 200, 'disabled'],
    ['?namespace=a&schedule=x', 200, 'ok'],
    ['?schedule=x', 200, 'pending'],
    ['?schedule=y', 503, 'error'],
  ])('/healthz%s', async (query, status, expected) => {
    const response = await fetch(`${await serve({ checks: () => many })}/healthz${query}`);
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(await response.json()).toMatchObject({
      status: status === 200 ? 'ok' : 'error',
      checks: { backup: { status: expected } },
    });
  });

  test('/healthz of a schedule that is not there', async () => {
    const response = await fetch(`${await serve({ checks: () => many })}/healthz?namespace=b&schedule=y`);
    expect(response.status).toBe(404);
  });

  test('/healthz of a single check', async () => {
    const response = await fetch(`${await serve({ checks: () => ({ status: 'disabled' }) })}/healthz`);
    expect(await response.json()).toEqual({ status: 'ok', checks: { backup: { status: 'disabled' } } });
  });

  test('/livez and /readyz', async () => {
    const url = await serve({ ready: () => ['store not synced', 'not leading'] });
    expect((await fetch(`${url}/livez`)).status).toBe(200);
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.text()]).toEqual([503, 'store not synced\nnot leading\n']);
  });

  test('/metrics', async () => {
    const registry = new Registry();
    const response = await fetch(`${await serve({ metrics: registry })}/metrics`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, registry.contentType]);
  });

  test('other paths and methods', async () => {
    const url = await serve({});
    const missing = await fetch(`${url}/nothing`);
    expect([missing.status, await missing.text()]).toEqual([
      404,
      'not found; the paths are /healthz /livez /readyz /metrics\n',
    ]);
    expect((await fetch(`${url}/livez`, { method: 'POST', body: 'x'.repeat(1e6) })).status).toBe(405);
    const head = await fetch(`${url}/livez`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
  });

  test('a hostile request line is answered, not thrown', async () => {
    const url = new URL(await serve({}));
    const status = await new Promise((resolve, reject) => {
      request({ host: url.hostname, port: url.port, path: '//[' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    expect(status).toBe(404);
  });

  test('a route that throws answers 500 without its reason', async () => {
    const url = await serve({
      checks: () => {
        throw new Error('secret');
      },
    });
    const response = await fetch(`${url}/healthz`);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toContain('secret');
    expect(errors).toHaveLength(1);
  });

  test('an address in use is reported', async () => {
    const { port } = new URL(await serve({}));
    await expect(startHttpServer({ host: '127.0.0.1', port: Number(port), routes: {} })).rejects.toThrow(
      'EADDRINUSE',
    );
  });

  test('closes although a reader stalls', async () => {
    async function* endless() {
      yield 'first';
      await new Promise(() => {});
    }
    const route = () => ({ status: 200, contentType: 'text/plain', body: endless() });
    const stalled = await startHttpServer({ host: '127.0.0.1', port: 0, routes: { '/': route } });
    const { body } = await fetch(stalled.url);
    const reader = body!.getReader();
    await reader.read();
    await stalled.close();
    await expect(reader.read()).rejects.toThrow();
  });
});
