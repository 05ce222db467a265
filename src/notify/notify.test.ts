import { createHmac } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunResult } from '../api/run-result.ts';
import { type Notice, type Receiver, requestOf } from './notice.ts';
import { readReceiver } from './receivers.ts';
import { sendNotice } from './send.ts';

const SECRET = 'a-secret-path';
const result = (outcome: RunResult['outcome']): RunResult => ({
  version: 1,
  outcome,
  reason: 'Whatever',
  message: 'What happened.',
  startedAt: '2026-11-26T10:00:00.000Z',
  finishedAt: '2026-11-26T10:01:00.000Z',
  warnings: { count: 0, samples: [] },
  pruned: { count: 0, failed: 0, names: [] },
  present: { count: 0, bytes: 0, names: [] },
});
const notice = (outcome?: RunResult['outcome']): Notice => ({
  runId: 'nightly-1',
  series: 'shop/nightly',
  at: new Date('2026-11-26T10:01:00Z'),
  result: outcome && result(outcome),
});
const receiver = (kind: Receiver['kind'], url: string, key?: string): Receiver => ({
  name: 'team',
  kind,
  url: new URL(url),
  key: key === undefined ? undefined : Buffer.from(key),
});

describe('a ping', () => {
  test.each<[RunResult['outcome'] | undefined, string | undefined]>([
    [undefined, 'https://hc.example/abc/start?create=1'],
    ['Succeeded', 'https://hc.example/abc?create=1'],
    ['Incomplete', 'https://hc.example/abc/fail?create=1'],
    ['Failed', 'https://hc.example/abc/fail?create=1'],
    ['Skipped', undefined],
  ])('for %s goes to %s', (outcome, url) => {
    const request = requestOf(receiver('ping', 'https://hc.example/abc/?create=1'), notice(outcome));
    expect(request?.url.href).toBe(url);
  });
});

describe('a webhook', () => {
  test('is a CloudEvent, signed as Standard Webhooks ask for', () => {
    const request = requestOf(receiver('webhook', 'https://team.example/hook', 'key'), notice('Failed'))!;
    expect(JSON.parse(request.body)).toMatchObject({
      specversion: '1.0',
      id: 'nightly-1.failed',
      source: '/km-backup/shop/nightly',
      type: 'io.duskmantle.km.backup.failed',
      subject: 'nightly-1',
      time: '2026-11-26T10:01:00.000Z',
      data: { outcome: 'Failed', message: 'What happened.' },
    });
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signed } = request.headers;
    const expected = createHmac('sha256', 'key')
      .update(`${id}.${timestamp}.${request.body}`)
      .digest('base64');
    expect(signed).toBe(`v1,${expected}`);
  });

  test('has no signature without a key', () => {
    const request = requestOf(receiver('webhook', 'https://team.example/hook'), notice())!;
    expect(Object.keys(request.headers)).not.toContain('webhook-signature');
    expect(JSON.parse(request.body)).toMatchObject({ type: 'io.duskmantle.km.backup.started', data: {} });
  });
});

describe('sending', () => {
  let server: Server;
  let url: string;
  let seen: string[];
  let answer: (request: IncomingMessage, response: ServerResponse, turn: number) => void;
  beforeEach(async () => {
    seen = [];
    server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      answer(request, response, seen.length);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${SECRET}`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  /** Longer than a busy machine takes to answer. */
  const patient = { totalMs: 120_000, tryMs: 60_000 };
  const send = (limits = patient) => sendNotice([receiver('ping', url)], notice('Succeeded'), { limits });

  test('is done once if the receiver takes it', async () => {
    answer = (_, response) => response.writeHead(200).end('OK');
    expect(await send()).toEqual([]);
    expect(seen).toEqual([`POST /${SECRET}`]);
  });

  test('tries again while the receiver fails or hangs', async () => {
    answer = (_, response, turn) => {
      if (turn === 1) response.writeHead(503).end();
      else if (turn > 2) response.writeHead(204).end();
    };
    expect(await send({ ...patient, tryMs: 500 })).toEqual([]);
    expect(seen.length).toBeGreaterThanOrEqual(3);
  });

  test.each<[string, typeof answer, RegExp]>([
    ['hangs for ever', () => {}, /timeout|in time/],
    ['fails for ever', (_, response) => response.writeHead(500).end(), /HTTP 500|in time/],
    ['refuses', (_, response) => response.writeHead(404).end(), /HTTP 404/],
    [
      'redirects',
      (_, response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
      /redirect/,
    ],
    ['closes the connection', (request) => request.socket.destroy(), /no answer|in time/],
  ])('says why, but never the address, if the receiver %s', async (_, behaviour, words) => {
    answer = behaviour;
    const problems = await sendNotice([receiver('webhook', url, 'key')], notice('Failed'), {
      limits: { totalMs: 600, tryMs: 100 },
    });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(words);
    expect(problems[0]).toMatch(/^team: /);
    expect(problems[0]).not.toContain(SECRET);
    expect(problems[0]).not.toContain('127.0.0.1');
  });

  test('ends at once when the process is asked to stop', async () => {
    answer = () => {};
    const stop = new AbortController();
    const sent = sendNotice([receiver('ping', url)], notice('Failed'), { signal: stop.signal });
    stop.abort();
    expect(await sent).toEqual(['team: it did not answer in time']);
  });

  test('does not wait for one receiver to tell another', async () => {
    answer = (request, response) => {
      if (request.url!.startsWith('/good')) response.writeHead(200).end();
    };
    const good = { ...receiver('ping', new URL('/good', url).href), name: 'good' };
    const problems = await sendNotice([receiver('ping', url), good], notice('Succeeded'), {
      limits: { totalMs: 5_000, tryMs: 5_000 },
    });
    expect(problems).toHaveLength(1);
    expect(seen).toContain('POST /good');
  });
});

describe('a receiver is read from a folder', () => {
  let folder: string;
  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), 'km-notify-')), 'team');
    mkdirSync(folder);
  });
  afterEach(() => rmSync(join(folder, '..'), { recursive: true }));

  test('with the address and the key of a Secret', () => {
    writeFileSync(join(folder, 'url'), 'https://team.example/hook\n');
    writeFileSync(join(folder, 'key'), `whsec_${Buffer.from('key').toString('base64')}`);
    const read = readReceiver('webhook', folder);
    expect(read).toMatchObject({ receiver: { name: 'team', url: new URL('https://team.example/hook') } });
    expect(Buffer.from((read as { receiver: Receiver }).receiver.key!).toString()).toBe('key');
  });

  test.each<[string, string | undefined, RegExp]>([
    ['nothing', undefined, /does not exist/],
    ['an empty address', '', /no key "url"/],
    ['no address', SECRET, /not an http or https address/],
    ['an address of a file', `file:///${SECRET}`, /not an http or https address/],
  ])('%s is a problem that says why, but never what is there', (_, url, words) => {
    if (url !== undefined) writeFileSync(join(folder, 'url'), url);
    const read = readReceiver('ping', folder) as { problem: string };
    expect(read.problem).toMatch(words);
    expect(read.problem).not.toContain(SECRET);
  });
});
