/** `km-backup mcp` by clients that are not ours: the Inspector's command line, and the protocol's conformance suite. */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkout, Sandbox } from '../support/backup.ts';
import { HttpServer, TOKEN } from '../support/mcp.ts';
import { ensureMcpClients } from '../support/mcp-clients.ts';

const node = process.execPath;
let box: Sandbox;
let clients: Awaited<ReturnType<typeof ensureMcpClients>>;
let server: HttpServer;
beforeAll(async () => {
  clients = await ensureMcpClients();
  box = new Sandbox();
  box.write('file', 'x');
  server = await HttpServer.start(['--source', box.source, '--destination', box.destination]);
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  box?.[Symbol.dispose]();
});

async function runClient(args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(node, [...args], {
    cwd: checkout,
    env: { ...process.env, HOME: box.root, ...env },
    timeout: 120_000,
    maxBuffer: 1 << 26,
  });
  return stdout;
}

describe('the Inspector', () => {
  test("runs the playbook's manual backup by the command of docs/mcp.md", async () => {
    const page = fs.readFileSync(path.join(checkout, 'docs/mcp.md'), 'utf8');
    const [, documented] = /^npx @modelcontextprotocol\/inspector (--cli .*)$/m.exec(page)!;
    const [mode, ...args] = documented!.split(' ');
    const env = ['-e', `KM_STATE_PATH=${box.source}`];
    const answer = JSON.parse(await runClient([clients.inspector, mode!, ...env, ...args]));
    const archive = answer.structuredContent.archive.path;
    expect(answer.content).toEqual([{ type: 'text', text: `Backup written to ${archive}` }]);
    expect(path.dirname(archive)).toBe(path.join(box.source, 'backups/archives'));
    expect(fs.existsSync(archive)).toBe(true);
  });

  test('finds no fault in the schemas, over HTTP', async () => {
    const call = [
      '--cli',
      server.url,
      '--header',
      `Authorization: Bearer ${TOKEN}`,
      '--method',
      'tools/list',
    ];
    const { tools } = JSON.parse(await runClient([clients.inspector, ...call, '--strict']));
    expect(tools.length).toBeGreaterThan(5);
  });
});

/** The suite cannot send a token, so this adds it. Everything else passes through as it is, `Host` and `Origin` too. */
async function withToken(): Promise<http.Server> {
  const { port } = new URL(server.url);
  const proxy = http.createServer((request, response) => {
    const headers = { ...request.headers, authorization: `Bearer ${TOKEN}` };
    const { url: requested, method } = request;
    const onward = http.request({ host: '127.0.0.1', port, path: requested, method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return proxy;
}

/** The others need the tools, resources and prompts of a server made for the suite. */
describe('the conformance suite', () => {
  let proxy: http.Server;
  beforeAll(async () => {
    proxy = await withToken();
  });
  afterAll(() => {
    proxy.closeAllConnections();
    proxy.close();
  });

  test.each([
    ['server-initialize', 1],
    ['ping', 1],
    ['tools-list', 1],
    ['resources-list', 1],
    ['server-sse-multiple-streams', 2],
    ['dns-rebinding-protection', 2],
  ])('%s', async (scenario, checks) => {
    const { port } = proxy.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/mcp`;
    const output = await runClient([clients.conformance, 'server', '--url', url, '--scenario', scenario]);
    expect(output).toContain(`Passed: ${checks}/${checks}, 0 failed, 0 warnings`);
  });
});
