/** Transports of `km-backup mcp`: what is on the wire, who is let in, cancellation, and the end of the server. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Sandbox } from '../support/backup.ts';
import { expectWords, kmBackup, PROGRAM } from '../support/km-backup.ts';
import { eventually } from '../support/kubectl.ts';
import { HttpServer, Session, TOKEN, WAYS } from '../support/mcp.ts';

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
  box.write('file', 'x');
});
afterEach(() => box[Symbol.dispose]());

const flags = () => ['--source', box.source, '--destination', box.destination];

/** Takes some seconds to pack. */
function writeMuch(): void {
  const file = fs.openSync(path.join(box.source, 'large'), 'w');
  for (let index = 0; index < 256; index++) fs.writeSync(file, randomBytes(1 << 20));
  fs.closeSync(file);
}

/** Everything in the destination except locks. */
const left = () =>
  fs.existsSync(box.destination) ? box.names().filter((name) => !name.endsWith('.lock')) : [];

describe.each(WAYS)('%s, protocol of %s', (kind, protocol) => {
  test('a cancelled backup leaves nothing half, and the next one works', async () => {
    writeMuch();
    await using server = kind === 'http' ? await HttpServer.start(flags()) : undefined;
    await using session = server
      ? await Session.http(server.url, { protocol })
      : await Session.stdio(flags(), { protocol });
    const controller = new AbortController();
    const call = session.call(
      'backup',
      {},
      { signal: controller.signal, onprogress: () => controller.abort('the user changed his mind') },
    );
    await expect(call).rejects.toThrow(/changed his mind|abort/i);
    await eventually(
      async () => left(),
      (names) => names.length === 0,
      (names) => `an empty destination, not ${names}`,
    );
    fs.rmSync(path.join(box.source, 'large'));
    const next = await eventually(
      () => session.call('backup'),
      ({ failed }) => !failed,
      (last) => `a backup; the last: ${last?.text}`,
    );
    expect(next.text).toMatch(/^Backup written to /);
  });
});

describe('stdio', () => {
  const start = () => {
    const child = spawn(PROGRAM, ['mcp', ...flags()], { stdio: ['pipe', 'pipe', 'pipe'] });
    const lines: string[] = [];
    createInterface(child.stdout).on('line', (line) => lines.push(line));
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const send = (message: object) =>
      child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    const initialize = () =>
      send({
        id: 0,
        method: 'initialize',
        params: {
          protocolVersion: '2025-11-25',
          capabilities: {},
          clientInfo: { name: 'raw', version: '1' },
        },
      });
    const answered = (id: number) =>
      eventually(
        async () => lines.map((line) => JSON.parse(line)).find((message) => message.id === id),
        (message) => message !== undefined,
        () => `an answer to ${id}; so far ${lines.join('\n')}`,
      );
    return { child, lines, errors: () => errors, send, initialize, answered };
  };

  test('standard output has nothing but the protocol; logs are on standard error', async () => {
    const { child, lines, errors, send, initialize, answered } = start();
    child.stdin.write('this is no JSON\n');
    initialize();
    await answered(0);
    send({ method: 'notifications/initialized' });
    const call = (id: number, name: string, args = {}) =>
      send({ id, method: 'tools/call', params: { name, arguments: args, _meta: { progressToken: id } } });
    call(1, 'backup');
    await answered(1);
    call(2, 'verify');
    call(3, 'restore_plan');
    call(4, 'no such tool');
    call(5, 'restore', { archive: 'x', planDigest: 'x' });
    for (const id of [2, 3, 4, 5]) await answered(id);
    child.stdin.end();
    const [code] = await once(child, 'exit');
    expect(code).toBe(0);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: '2.0' });
    expect(lines.filter((line) => line.includes('notifications/progress')).length).toBeGreaterThan(0);
    for (const line of errors().split('\n').filter(Boolean)) expect(line).toMatch(/^(\{.*\}|warning: .*)$/);
  });

  test.each(['SIGTERM', 'SIGINT', 'the end of standard input'] as const)(
    '%s during a backup ends it cleanly, and the server with status 0',
    async (how) => {
      writeMuch();
      const { child, lines, initialize, send } = start();
      initialize();
      send({ method: 'notifications/initialized' });
      send({
        id: 1,
        method: 'tools/call',
        params: { name: 'backup', arguments: {}, _meta: { progressToken: 1 } },
      });
      await eventually(
        async () => lines.some((line) => line.includes('notifications/progress')),
        (begun) => begun,
        () => 'progress',
      );
      if (how.startsWith('SIG')) child.kill(how as 'SIGTERM');
      else child.stdin.end();
      const [code] = await once(child, 'exit');
      expect(code).toBe(0);
      expect(left()).toEqual([]);
    },
  );
});

describe('HTTP', () => {
  const initialize = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
  });
  const post = (url: string, headers: Record<string, string>, body: string | Buffer = initialize) =>
    new Promise<number>((resolve, reject) => {
      const request = http.request(
        url,
        {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            authorization: `Bearer ${TOKEN}`,
            ...headers,
          },
        },
        (response) => {
          response.resume();
          resolve(response.statusCode!);
          request.destroy();
        },
      );
      request.once('error', reject);
      request.end(body);
    });

  test('lets in who has the token, from this machine only', async () => {
    await using server = await HttpServer.start(flags());
    const { port } = new URL(server.url);
    const cases: [number, Record<string, string>][] = [
      [200, {}],
      [200, { host: `localhost:${port}` }],
      [200, { origin: `http://localhost:${port}` }],
      [401, { authorization: '' }],
      [401, { authorization: 'Bearer wrong' }],
      [401, { authorization: `Bearer ${TOKEN}x` }],
      [401, { authorization: `Basic ${Buffer.from(TOKEN).toString('base64')}` }],
      // A browser that was sent here by the name of another host.
      [403, { host: 'evil.example.com' }],
      [403, { host: `localhost.evil.example.com:${port}` }],
      [403, { origin: 'https://evil.example.com' }],
      [403, { origin: 'null' }],
      // Without a token it must not even learn that.
      [403, { host: 'evil.example.com', authorization: '' }],
    ];
    for (const [status, headers] of cases)
      expect(await post(server.url, headers), JSON.stringify(headers)).toBe(status);
    expect(await post(server.url.replace('/mcp', '/'), {})).toBe(404);
    expect(await post(server.url.replace('/mcp', '/'), { authorization: '' })).toBe(401);
    expect(await post(server.url, {}, Buffer.alloc(5 << 20, 0x20))).toBe(413);
    expect(await post(server.url, {}, '{')).toBe(400);
    expect(await post(server.url, { 'mcp-session-id': 'made-up' })).toBe(404);
    await expect(Session.http(server.url, { token: 'x'.repeat(40) })).rejects.toThrow();
  });

  test('forgets the session that was used longest ago, not the others', async () => {
    await using server = await HttpServer.start(flags());
    const first = await Session.http(server.url, { protocol: '2025' });
    const second = await Session.http(server.url, { protocol: '2025' });
    for (let index = 0; index < 63; index++) {
      await second.call('status');
      expect(await post(server.url, {})).toBe(200);
    }
    await expect(first.call('status')).rejects.toThrow();
    expect((await second.call('status')).failed).toBe(false);
    await second[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]().catch(() => {});
  });

  test('SIGTERM ends it with status 0, although clients are connected', async () => {
    await using server = await HttpServer.start(flags());
    await using session = await Session.http(server.url, { protocol: '2025' });
    await session.call('list');
    const exit = once(server.child, 'exit');
    server.child.kill('SIGTERM');
    expect((await exit)[0]).toBe(0);
  });

  test.each([
    ['0.0.0.0:0', {}, 'not a loopback address'],
    ['192.168.1.1:0', {}, 'not a loopback address'],
    ['127.evil.com:0', {}, 'not a loopback address'],
    ['nonsense', {}, 'must be PORT or HOST:PORT'],
    ['0', { KM_BACKUP_MCP_TOKEN: '' }, 'A token is missing'],
    ['0', { KM_BACKUP_MCP_TOKEN: 'short' }, 'at least 32 characters'],
    ['0', { KM_BACKUP_MCP_TOKEN: `${'x'.repeat(40)} y` }, 'no spaces'],
  ])('--http %s is refused: %s', async (address, env, message) => {
    const ended = await kmBackup(['mcp', '--http', address, ...flags()], {
      env: { KM_BACKUP_MCP_TOKEN: TOKEN, ...env },
    });
    expectWords(ended);
    expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(message) });
  });

  test('a token that everybody can read works, with a warning', async () => {
    const file = path.join(box.root, 'token');
    fs.writeFileSync(file, `${TOKEN}\n`, { mode: 0o644 });
    const child = spawn(PROGRAM, ['mcp', '--http', '0', '--token-file', file, ...flags()], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const exit = once(child, 'exit');
    while (!errors.includes('Listening on') && child.exitCode === null) await sleep(20);
    child.kill();
    await exit;
    expect(errors).toContain('can be read by every user');
    expect(errors).not.toContain(TOKEN);
  });
});

test.each([
  [[], {}, 'The destination is missing'],
  [['--token-file', '/x'], {}, '--token-file is for HTTP clients'],
  [['--http', '0', '--token-file', '/missing'], {}, 'the token cannot be read (ENOENT)'],
  [['--source', '/tmp'], { KM_BACKUP_RETENTION_LIMIT: 'many' }, 'KM_BACKUP_RETENTION_LIMIT="many"'],
] as const)('km-backup mcp %j %j is refused in words', async (args, env, message) => {
  const ended = await kmBackup(['mcp', ...args], { env: { ...env } });
  expectWords(ended);
  expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(message) });
});
