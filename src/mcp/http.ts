/** Serves many clients by streamable HTTP on loopback: `Host` and `Origin` first, then the token, then the protocol. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import {
  createMcpHandler,
  hostHeaderValidationResponse,
  isLegacyRequest,
  localhostAllowedHostnames,
  localhostAllowedOrigins,
  originValidationResponse,
} from '@modelcontextprotocol/server';
import { ArchiveError } from '../archive/index.ts';
import type { ServerFactory } from './server.ts';
import { Sessions } from './sessions.ts';

export interface HttpSettings {
  readonly host: string;
  readonly port: number;
  readonly token: string;
}

const PATH = '/mcp';
/** As the SDK, which also counts bodies that do not say their length. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;
/** A token that nobody guesses: 32 characters of hex are 128 bits. */
export const SHORTEST_TOKEN = 32;

/** Serves until the signal aborts, and ends once all calls have cleaned up. */
export async function serveOnHttp(
  factory: ServerFactory,
  { host, port, token }: HttpSettings,
  { signal, onListening }: { signal: AbortSignal; onListening: (url: string) => void },
): Promise<void> {
  checkLoopback(host);
  const { logger } = factory;
  const sessions = new Sessions(factory);
  const onerror = (error: Error) => logger.warn({ err: error }, 'MCP');
  const handler = createMcpHandler(() => factory.make(), { legacy: 'reject', onerror });
  const isTokenOf = tokenCheck(token);
  const fetch = async (request: Request): Promise<Response> => {
    const refused =
      hostHeaderValidationResponse(request, localhostAllowedHostnames()) ??
      originValidationResponse(request, localhostAllowedOrigins());
    if (refused) return refused;
    if (!isTokenOf(request.headers.get('authorization'))) return unauthorized();
    if (new URL(request.url).pathname !== PATH) return new Response('Not found\n', { status: 404 });
    return (await isLegacyRequest(request)) ? await sessions.fetch(request) : await handler.fetch(request);
  };
  const handle = toNodeHandler({ fetch }, { onerror });
  const server = createServer((request, response) => {
    if (Number(request.headers['content-length']) > MAX_BODY_BYTES) {
      // After its end: a client that still writes when the connection closes does not see the answer.
      request.resume().once('end', () => response.writeHead(413).end('The request is too large.\n'));
      return;
    }
    // Each request that reaches a server has both.
    const { method = '', url = '' } = request;
    void handle(Object.assign(request, { method, url }), response);
  });
  await listen(server, host, port);
  const { port: actual } = server.address() as AddressInfo;
  onListening(`http://${host.includes(':') ? `[${host}]` : host}:${actual}${PATH}`);
  await untilAborted(signal);
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  await factory.end();
  await Promise.all([handler.close(), sessions.close()]);
  server.closeAllConnections();
  await closed;
}

/** Beyond loopback the token would travel in the clear. */
function checkLoopback(host: string): void {
  if (host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)) return;
  throw new ArchiveError(
    'Usage',
    `${host} is not a loopback address: this server speaks plain HTTP. Listen on 127.0.0.1, and put a proxy with TLS or an SSH tunnel in front of it.`,
  );
}

/** Compares digests, so that the time says nothing about the token, not even its length. */
export function tokenCheck(token: string): (authorization: string | null) => boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  const expected = digest(token);
  return (authorization) => {
    const given = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    return given !== undefined && timingSafeEqual(digest(given), expected);
  };
}

function unauthorized(): Response {
  return Response.json(
    {
      jsonrpc: '2.0',
      error: { code: -32_000, message: 'The bearer token is missing or wrong.' },
      id: null,
    },
    { status: 401, headers: { 'www-authenticate': 'Bearer realm="km-backup"' } },
  );
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new ArchiveError(
          'Usage',
          `cannot listen on ${host}:${port} (${error.message}): pass a free port to --http.`,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
}

async function untilAborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
