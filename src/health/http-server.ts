import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Certificate } from './certificate.ts';

export interface HttpAnswer {
  status: number;
  contentType: string;
  /** Beyond those that every answer has. */
  headers?: Readonly<Record<string, string>>;
  /** Chunks are produced as the client reads them, so that a long answer is never in memory as a whole. */
  body: string | AsyncIterable<string>;
}

export type Route = (url: URL) => HttpAnswer | Promise<HttpAnswer>;

/** Decides on the headers of a request: an answer refuses it. */
export type Guard = (headers: IncomingHttpHeaders) => Promise<HttpAnswer | undefined>;

export interface RunningServer {
  host: string;
  port: number;
  url: string;
  /** For later connections. Does nothing without `tls`. */
  setCertificate: (certificate: Certificate) => void;
  /** Waits a moment for the answers under way, then closes all connections. */
  close: () => Promise<void>;
}

export function json(status: number, value: unknown): HttpAnswer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` };
}

export function text(status: number, body: string): HttpAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}

async function answer(
  request: IncomingMessage,
  routes: ReadonlyMap<string, Route>,
  guard: Guard | undefined,
  onError: (error: unknown) => void,
): Promise<HttpAnswer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') return text(405, 'only GET and HEAD\n');
  const url = URL.parse(request.url ?? '/', 'http://localhost');
  const route = url && routes.get(url.pathname);
  if (!route) return text(404, `not found; the paths are ${[...routes.keys()].join(' ')}\n`);
  try {
    return (await guard?.(request.headers)) ?? (await route(url));
  } catch (error) {
    onError(error);
    return text(500, 'internal error, see the log\n');
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, contentType, headers, body }: HttpAnswer,
): Promise<void> {
  response.writeHead(status, {
    'content-type': contentType,
    ...(typeof body === 'string' && { 'content-length': Buffer.byteLength(body) }),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
    ...(status === 405 && { allow: 'GET, HEAD' }),
  });
  if (request.method === 'HEAD') response.end();
  else if (typeof body === 'string') response.end(body);
  else await pipeline(body, response);
}

/** How long answers under way may take once the server closes. */
const CLOSE_GRACE_MS = 1_000;

/**
 * Serves GET and HEAD of the given paths. Rejects if it cannot listen on the address.
 *
 * @param options.port 0 takes a free one.
 */
export function startHttpServer(options: {
  host: string;
  port: number;
  routes: Readonly<Record<string, Route>>;
  /** By HTTPS only. */
  tls?: Certificate;
  /** Asked before each answer of a route. */
  guard?: Guard;
  onError?: (error: unknown) => void;
}): Promise<RunningServer> {
  const routes = new Map(Object.entries(options.routes));
  const onError = options.onError ?? (() => {});
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    // Discard the body: no route reads one.
    request.resume();
    answer(request, routes, options.guard, onError)
      .then((result) => send(request, response, result))
      .catch(onError);
  };
  const secure =
    options.tls &&
    createTlsServer({ ...options.tls, minVersion: 'TLSv1.2', handshakeTimeout: 10_000 }, listener);
  const server = secure ?? createServer(listener);
  server.requestTimeout = 10_000;
  server.headersTimeout = 10_000;
  server.maxConnections = 256;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.removeListener('error', reject);
      server.on('error', onError);
      const { address, port, family } = server.address() as AddressInfo;
      resolve({
        host: address,
        port,
        url: `${secure ? 'https' : 'http'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
        setCertificate: (certificate) => secure?.setSecureContext({ ...certificate, minVersion: 'TLSv1.2' }),
        close: () =>
          new Promise((done) => {
            // A stalled client must not keep the process alive.
            const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
            server.close(() => {
              clearTimeout(cut);
              done();
            });
            server.closeIdleConnections();
          }),
      });
    });
  });
}
