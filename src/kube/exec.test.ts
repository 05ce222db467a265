import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { KubeClient } from './client.ts';

const TIMEOUT_MS = 10_000;
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
let server: Server | undefined;
let client: KubeClient | undefined;
afterEach(async () => {
  await client?.close();
  server?.closeAllConnections();
  server?.close();
});

/** A message of one channel, as the API server sends it. */
function frame(channel: number, text: string | Buffer): Buffer {
  const payload = Buffer.concat([Buffer.from([channel]), Buffer.from(text)]);
  const length =
    payload.length < 126
      ? Buffer.from([payload.length])
      : Buffer.from([126, payload.length >> 8, payload.length & 0xff]);
  return Buffer.concat([Buffer.from([0x82]), length, payload]);
}
const CLOSE = Buffer.from([0x88, 2, 3, 0xe8]);
const status = (value: object) => frame(3, JSON.stringify(value));
const exited = (code: number) =>
  status({ status: 'Failure', details: { causes: [{ reason: 'ExitCode', message: `${code}` }] } });

/** An API server that answers an exec with these bytes. */
async function answering(answer: (socket: Duplex, request: IncomingMessage) => void): Promise<KubeClient> {
  server = createServer((_, response) => response.writeHead(403).end('{"message":"forbidden"}'));
  server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}${GUID}`)
      .digest('base64');
    const protocol = request.headers['sec-websocket-protocol']?.split(',')[0];
    socket.on('error', () => {});
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
    );
    // Answers the close of the client.
    socket.once('data', () => socket.end());
    answer(socket, request);
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  client = new KubeClient({
    url: `http://127.0.0.1:${port}`,
    tls: {},
    authenticate: async () => ({ authorization: 'Bearer me' }),
  });
  return client;
}

async function run(kube: KubeClient, signal?: AbortSignal) {
  const heard = { stdout: '', stderr: '' };
  const code = await kube.exec({
    namespace: 'team',
    pod: 'reader',
    container: 'km-backup',
    command: ['cat', 'a b', '--', 'ü&x=1'],
    stdout: (chunk) => {
      heard.stdout += chunk;
    },
    stderr: (chunk) => {
      heard.stderr += chunk;
    },
    signal,
  });
  return { code, ...heard };
}

describe('exec', { timeout: TIMEOUT_MS }, () => {
  it('sends the command word by word with the credentials, and passes on what it says', async () => {
    let asked: IncomingMessage | undefined;
    const kube = await answering((socket, request) => {
      asked = request;
      const parts = [
        frame(1, 'out'),
        frame(2, 'err'),
        frame(1, Buffer.alloc(300, 'x')),
        status({ status: 'Success' }),
      ];
      socket.write(Buffer.concat([...parts, CLOSE]));
    });
    expect(await run(kube)).toEqual({ code: 0, stdout: `out${'x'.repeat(300)}`, stderr: 'err' });
    const { pathname, searchParams } = new URL(asked!.url!, 'http://x');
    expect(pathname).toBe('/api/v1/namespaces/team/pods/reader/exec');
    expect(searchParams.getAll('command')).toEqual(['cat', 'a b', '--', 'ü&x=1']);
    expect(asked!.headers).toMatchObject({
      authorization: 'Bearer me',
      'sec-websocket-protocol': expect.stringContaining('v5.channel.k8s.io'),
    });
  });

  it.each([0, 1, 5, 137])('resolves with the exit code %i', async (code) => {
    const kube = await answering((socket) => {
      socket.write(Buffer.concat([code === 0 ? status({ status: 'Success' }) : exited(code), CLOSE]));
    });
    expect((await run(kube)).code).toBe(code);
  });

  it.each<[string, (socket: Duplex) => void, RegExp]>([
    [
      'the program cannot be started',
      (socket) =>
        socket.write(Buffer.concat([status({ status: 'Failure', message: 'no such file' }), CLOSE])),
      /exec in pod team\/reader: no such file/,
    ],
    [
      'the connection is closed early',
      (socket) => socket.write(Buffer.concat([frame(1, 'half'), CLOSE])),
      /broke before the program ended/,
    ],
    ['the connection breaks', (socket) => socket.destroy(), /exec in pod team\/reader: /],
  ])('rejects when %s', async (_, answer, message) => {
    await expect(run(await answering(answer))).rejects.toThrow(message);
  });

  it('rejects when the API server refuses', async () => {
    const kube = await answering(() => {});
    server!.removeAllListeners('upgrade');
    await expect(run(kube)).rejects.toThrow(/exec in pod team\/reader/);
  });

  it('ends when it is given up', async () => {
    const stop = new AbortController();
    const kube = await answering((socket) => {
      socket.write(frame(1, 'begin'));
      stop.abort();
    });
    await expect(run(kube, stop.signal)).rejects.toMatchObject({ reason: 'Aborted' });
  });

  it('rejects with the error of whoever takes its output', async () => {
    const kube = await answering((socket) => {
      socket.write(frame(1, 'x'));
    });
    const full = new Error('disk full');
    const request = {
      namespace: 'team',
      pod: 'reader',
      container: 'c',
      command: ['x'],
      stdout: () => {
        throw full;
      },
      stderr: () => {},
    };
    await expect(kube.exec(request)).rejects.toBe(full);
  });
});
