import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import {
  type Access,
  bearerGuard,
  followCertificate,
  json,
  type RunningServer,
  readCertificate,
  selfSigned,
  startHttpServer,
} from './index.ts';

const NOW = Date.UTC(2026, 10, 26);

describe('a self-signed certificate', () => {
  test.each(['operator-0', 'a'.repeat(63), `${'long-name.'.repeat(20)}example`])('for %s', (name) => {
    const { cert, key } = selfSigned(name, NOW);
    const parsed = new X509Certificate(cert);
    expect(parsed.checkHost(name)).toBe(name);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.validFromDate.getTime()).toBeLessThan(NOW);
    expect(parsed.validToDate.getTime()).toBeGreaterThan(NOW + 9 * 365 * 86_400_000);
    expect(key).toContain('PRIVATE KEY');
  });

  test('never twice', () => {
    const serials = [1, 2, 3].map(() => new X509Certificate(selfSigned('x', NOW).cert).serialNumber);
    expect(new Set(serials).size).toBe(3);
  });
});

describe('the guard', () => {
  const clock = new FakeClock();
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

  function guarded(review: (token: string) => Promise<Access>) {
    const errors: unknown[] = [];
    const asked: string[] = [];
    const guard = bearerGuard({
      review: (token) => {
        asked.push(token);
        return review(token);
      },
      right: 'get /metrics',
      clock,
      onError: (error) => errors.push(error),
    });
    return { guard, asked, errors };
  }

  test.each([
    [{}, 401],
    [{ authorization: '' }, 401],
    [{ authorization: 'Bearer' }, 401],
    [{ authorization: 'Basic dXNlcjpwYXNz' }, 401],
    [{ authorization: 'Bearer a b' }, 401],
  ])('refuses %j without asking', async (headers, status) => {
    const { guard, asked } = guarded(async () => 'allowed');
    expect(await guard(headers)).toMatchObject({ status, headers: { 'www-authenticate': 'Bearer' } });
    expect(asked).toEqual([]);
  });

  test.each<[Access, number | undefined]>([
    ['allowed', undefined],
    ['unknown-token', 401],
    ['no-right', 403],
  ])('%s', async (access, status) => {
    const { guard } = guarded(async () => access);
    expect((await guard(bearer('t')))?.status).toBe(status);
    expect((await guard({ authorization: 'bearer  t ' }))?.status).toBe(status);
  });

  test('an answer is remembered for a moment, a refusal for a shorter one', async () => {
    const { guard, asked } = guarded(async (token) => (token === 'good' ? 'allowed' : 'no-right'));
    const ask = async () => {
      await guard(bearer('good'));
      await guard(bearer('bad'));
    };
    await ask();
    clock.advance(9_000);
    await ask();
    expect(asked).toEqual(['good', 'bad']);
    clock.advance(2_000);
    await ask();
    expect(asked).toEqual(['good', 'bad', 'bad']);
    clock.advance(60_000);
    await ask();
    expect(asked).toEqual(['good', 'bad', 'bad', 'good', 'bad']);
  });

  test('no answer is 503, and is not remembered', async () => {
    let away = true;
    const { guard, errors } = guarded(async () => {
      if (away) throw new Error('connection refused');
      return 'allowed';
    });
    expect(await guard(bearer('t'))).toMatchObject({ status: 503 });
    expect(errors).toHaveLength(1);
    away = false;
    expect(await guard(bearer('t'))).toBeUndefined();
  });

  test('what was allowed stays so while the API server is away', async () => {
    const review = vi
      .fn<() => Promise<Access>>()
      .mockResolvedValueOnce('allowed')
      .mockRejectedValue(new Error('away'));
    const { guard } = guarded(review);
    await guard(bearer('t'));
    clock.advance(30_000);
    expect(await guard(bearer('t'))).toBeUndefined();
    clock.advance(31_000);
    expect(await guard(bearer('t'))).toMatchObject({ status: 503 });
  });

  test('requests at the same time share one question, and many tokens do not flood the API server', async () => {
    const open = Promise.withResolvers<Access>();
    const { guard, asked } = guarded(() => open.promise);
    const same = Promise.all([guard(bearer('t')), guard(bearer('t'))]);
    const others = Promise.all(Array.from({ length: 100 }, (_, index) => guard(bearer(`t${index}`))));
    open.resolve('allowed');
    expect(await same).toEqual([undefined, undefined]);
    const refused = (await others).filter((answer) => answer?.status === 503);
    expect(asked).toHaveLength(16);
    expect(refused).toHaveLength(100 - 15);
  });
});

describe('over HTTPS', () => {
  let dir: string;
  let server: RunningServer | undefined;
  let stop: AbortController;
  beforeEach(async () => {
    stop = new AbortController();
    dir = await mkdtemp(join(tmpdir(), 'km-tls-'));
  });
  afterEach(async () => {
    stop.abort();
    await server?.close();
    await rm(dir, { recursive: true });
  });

  async function write(name: string) {
    const made = selfSigned(name, Date.now());
    await writeFile(join(dir, 'tls.key'), made.key);
    await writeFile(join(dir, 'tls.crt'), made.cert);
    return made;
  }

  async function servedName(port: number): Promise<string> {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return String(subject.CN);
  }

  test('a client that trusts the certificate gets the answer of the route', async () => {
    const tls = selfSigned('operator', Date.now());
    server = await startHttpServer({
      host: '127.0.0.1',
      port: 0,
      routes: { '/metrics': () => json(200, 'up') },
      tls,
      guard: async ({ authorization }) => (authorization === 'Bearer t' ? undefined : json(401, 'no')),
    });
    expect(server.url).toMatch(/^https:/);
    const ask = async (path: string, token: string) => {
      const sent = request(`${server!.url}${path}`, {
        ca: tls.cert,
        servername: 'operator',
        headers: { authorization: `Bearer ${token}` },
      }).end();
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      return [response.statusCode, (await response.toArray()).join('')];
    };
    expect(await ask('/metrics', 't')).toEqual([200, '"up"\n']);
    expect(await ask('/metrics', 'x')).toEqual([401, '"no"\n']);
    await expect(fetch(server.url.replace('https', 'http'))).rejects.toThrow();
  });

  test('the certificate follows its files, and a broken one does not', async () => {
    await write('first');
    const current = await readCertificate(dir);
    server = await startHttpServer({ host: '127.0.0.1', port: 0, routes: {}, tls: current });
    const clock = new FakeClock();
    const errors: string[] = [];
    void followCertificate({
      dir,
      current,
      clock,
      signal: stop.signal,
      onChange: (certificate) => server!.setCertificate(certificate),
      onError: ({ message }) => errors.push(message),
    });
    const name = () => servedName(server!.port);
    expect(await name()).toBe('first');
    await write('second');
    await vi.waitFor(async () => {
      await clock.advanceAsync(10_000);
      expect(await name()).toBe('second');
    });
    await writeFile(join(dir, 'tls.key'), selfSigned('other', Date.now()).key);
    await vi.waitFor(async () => {
      await clock.advanceAsync(10_000);
      expect(errors).toEqual([expect.stringContaining('is not the key of the certificate')]);
    });
    expect(await name()).toBe('second');
    await write('third');
    await vi.waitFor(async () => {
      await clock.advanceAsync(10_000);
      expect(await name()).toBe('third');
    });
    expect(errors).toHaveLength(1);
  });

  test.each<[string, (dir: string) => Promise<void>, RegExp]>([
    ['nothing there', async () => {}, /cannot read .*tls\.crt \(ENOENT\): mount a Secret/],
    [
      'not PEM',
      async (to) => {
        await writeFile(join(to, 'tls.crt'), 'x');
        await writeFile(join(to, 'tls.key'), 'x');
      },
      /is not PEM/,
    ],
  ])('a folder with %s is refused', async (_, prepare, words) => {
    await prepare(dir);
    await expect(readCertificate(dir)).rejects.toThrow(words);
  });
});
