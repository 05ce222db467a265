/** The program tells receivers of a run, whatever they do, and the run does not care. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { signature } from '../../src/notify/notice.ts';
import { kmBackup } from '../support/km-backup.ts';

const SECRET = 'secret-7f3a';
const KEY = 'a key';

interface Seen {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

let root: string;
let server: Server;
let seen: Seen[];
let answer: (response: ServerResponse) => void;
const at = (...names: string[]) => path.join(root, ...names);

beforeEach(async () => {
  root = mkdtempSync(path.join(tmpdir(), 'km-notices-'));
  seen = [];
  answer = (response) => response.writeHead(200).end();
  server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    seen.push({ path: request.url!, headers: request.headers, body });
    answer(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  for (const name of ['source', 'team', 'monitor']) mkdirSync(at(name));
  writeFileSync(at('source/file'), 'content');
  writeFileSync(at('team/url'), `http://127.0.0.1:${port}/hook/${SECRET}`);
  writeFileSync(at('team/key'), KEY);
  writeFileSync(at('monitor/url'), `http://127.0.0.1:${port}/ping/${SECRET}`);
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(root, { recursive: true });
});

const create = (...more: string[]) =>
  kmBackup([
    ...['create', '--source', at('source'), '--destination', at('archives'), '--series', 'shop/nightly'],
    ...['--result-file', at('result.json'), '--run-id', 'shop/nightly-1', '--progress', 'json'],
    ...['--notify-webhook', at('team'), '--notify-ping', at('monitor'), ...more],
  ]);
const paths = () => seen.map((one) => one.path.replace(SECRET, 'X')).toSorted();

describe('a run with receivers', () => {
  test('tells them that it begins and how it ended, in order, with the result and a signature', async () => {
    const { code, stderr } = await create();
    expect(code).toBe(0);
    expect(paths()).toEqual(['/hook/X', '/hook/X', '/ping/X', '/ping/X/start']);
    const events = seen.filter((one) => one.path.startsWith('/hook'));
    expect(events.map(({ body }) => JSON.parse(body).type)).toEqual([
      'io.duskmantle.km.backup.started',
      'io.duskmantle.km.backup.succeeded',
    ]);
    const { headers, body } = events[1]!;
    expect(JSON.parse(body)).toMatchObject({
      subject: 'shop/nightly-1',
      data: JSON.parse(readFileSync(at('result.json'), 'utf8')),
    });
    const [id, timestamp] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])];
    expect(headers['webhook-signature']).toBe(signature(Buffer.from(KEY), id, timestamp, body));
    for (const line of stderr.trim().split('\n')) expect(JSON.parse(line).run).toBe('shop/nightly-1');
  });

  test('tells them that it failed', async () => {
    rmSync(at('source/file'));
    const { code } = await create();
    expect(code).not.toBe(0);
    expect(paths()).toEqual(['/hook/X', '/hook/X', '/ping/X/fail', '/ping/X/start']);
    expect(JSON.parse(seen.findLast((one) => one.path.startsWith('/hook'))!.body).data.outcome).toBe(
      'Failed',
    );
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ['refuse', (response) => response.writeHead(403).end()],
    ['redirect', (response) => response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end()],
    ['close the connection', (response) => response.destroy()],
  ])('succeeds if they %s, and says so without their address', async (_, behaviour) => {
    answer = behaviour;
    const { code, stderr } = await create();
    expect(code).toBe(0);
    expect(JSON.parse(readFileSync(at('result.json'), 'utf8')).outcome).toBe('Succeeded');
    expect(stderr).toMatch(/notification team: /);
    expect(stderr).toMatch(/notification monitor: /);
    expect(stderr).not.toContain(SECRET);
  });

  test('has its result written while they hang', async () => {
    let written = false;
    answer = (response) => {
      // The second round of notices: the run is over.
      if (seen.length > 2) written = existsSync(at('result.json'));
      response.writeHead(200).end();
    };
    expect((await create()).code).toBe(0);
    expect(written).toBe(true);
  });

  test('goes on without a receiver whose Secret is missing', async () => {
    rmSync(at('monitor/url'));
    const { code, stderr } = await create();
    expect(code).toBe(0);
    expect(stderr).toMatch(/notification monitor: its Secret does not exist/);
    expect(paths()).toEqual(['/hook/X', '/hook/X']);
  });
});
