import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type Server,
  type ServerResponse,
} from 'node:http';
import { request as secureRequest } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { ApiServer } from '../../src/kube/api-server.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';

/** What a rule matches. Every given part must match. */
export interface Match {
  readonly method?: string;
  /** Tried on the path with its query. */
  readonly path?: RegExp;
  /** True: only watches. False: only other requests. */
  readonly watch?: boolean;
}

/** What happens to a request that a rule matches. */
export type Fault =
  /** The proxy answers by itself; the API server never sees the request. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly reason?: string;
      readonly retryAfterSeconds?: number;
    }
  /** The connection ends without an answer; the API server never sees the request. */
  | { readonly kind: 'drop' }
  /** The API server carries the request out, and its answer is lost. */
  | { readonly kind: 'loseAnswer' }
  /** Sent on after a delay. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Carried out twice; the second answer counts. */
  | { readonly kind: 'duplicate' }
  /** Nothing ever comes back, and the connection stays open. */
  | { readonly kind: 'hang' }
  /** The answer ends without its end after so many bytes: a broken connection in the middle. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The answer stops after so many bytes, and the connection stays open. */
  | { readonly kind: 'freeze'; readonly afterBytes: number }
  /** The answer ends properly after this long, even if there is more to send. */
  | { readonly kind: 'endAfter'; readonly ms: number }
  /** A watch that is answered and at once ended, properly and without an event. */
  | { readonly kind: 'emptyWatch' }
  /** A watch whose only line is the ERROR event of an expired resource version. */
  | { readonly kind: 'expiredWatch' };

export interface Rule {
  readonly match: Match;
  readonly fault: Fault;
  /** How many requests it affects. Absent: all. */
  readonly times?: number;
  /** The share of matching requests that it affects, 0 to 1. Absent: all. */
  readonly probability?: number;
}

export interface ActiveRule {
  /** Requests it has affected. */
  readonly struck: number;
  remove(): void;
}

/** A request that arrived at the proxy. */
export interface Seen {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly watch: boolean;
  /** Number of the client's connection, counted from 1. */
  readonly connection: number;
  readonly fault: Fault['kind'] | undefined;
  /** Of the API server's answer, once there is one. */
  status?: number | undefined;
}

/** Called around every write; the write waits for it. `after`: carried out, but not yet answered. */
export type WriteHook = (write: Seen & { readonly phase: 'before' | 'after' }) => Promise<void> | void;

export interface FaultProxy {
  /** Sets the one hook of writes. */
  onWrite(hook: WriteHook): void;
  readonly url: string;
  /** The API server, through the proxy. */
  readonly apiServer: ApiServer;
  /** A kubeconfig for programs that are to use the proxy. */
  kubeconfig(): string;
  /** Adds a rule. If several match, the one added first applies. */
  add(rule: Rule): ActiveRule;
  clear(): void;
  /** In order of arrival. The oldest are dropped if there are very many. */
  readonly seen: readonly Seen[];
  /** How many connections clients have opened so far. */
  readonly connections: number;
  /** Breaks every answer under way that `match` fits, in the middle. */
  cutAll(match?: Match): number;
  /** Silences every answer under way that `match` fits. The connections stay open. */
  freezeAll(match?: Match): number;
  /** Breaks all connections and refuses new ones, until `up`. */
  down(): Promise<void>;
  up(): Promise<void>;
  close(): Promise<void>;
}

interface Underway {
  readonly seen: Seen;
  readonly response: ServerResponse;
  frozen: boolean;
}

/** Whether a request asks for a watch. */
const isWatch = (path: string) => /[?&]watch=(true|1)/.test(path);

export function matches(match: Match, seen: Pick<Seen, 'method' | 'path' | 'watch'>): boolean {
  return (
    (match.method === undefined || match.method === seen.method) &&
    (match.path === undefined || match.path.test(seen.path)) &&
    (match.watch === undefined || match.watch === seen.watch)
  );
}

const MAX_SEEN = 100_000;

const REASONS: Readonly<Record<number, string>> = {
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

function statusObject(code: number, reason = REASONS[code] ?? 'Unknown') {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message: `injected ${code}` };
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await message.toArray());
}

/** Whole lines, so that nothing to translate is cut in two. Each event of a watch is a line. */
async function* translated(
  answer: IncomingMessage,
  translate: (text: string) => string,
): AsyncGenerator<Buffer> {
  let rest = '';
  for await (const chunk of answer.setEncoding('utf8')) {
    const text = rest + chunk;
    const end = text.lastIndexOf('\n') + 1;
    rest = text.slice(end);
    yield Buffer.from(translate(text.slice(0, end)));
  }
  yield Buffer.from(translate(rest));
}

/**
 * An HTTP proxy on loopback in front of one API server, which injects faults by rules. It uses the given credentials
 * upstream, so anyone who reaches its port has their rights.
 *
 * @param translate changes what the API server answers; the length must stay the same
 */
export async function startFaultProxy(
  upstream: ApiServer,
  random: () => number = Math.random,
  translate?: (text: string) => string,
): Promise<FaultProxy> {
  const target = new URL(upstream.url);
  const rules: { rule: Rule; struck: number }[] = [];
  const seen: Seen[] = [];
  const underway = new Set<Underway>();
  const sockets = new Map<Socket, number>();
  let connections = 0;
  let writeHook: WriteHook = () => {};
  const aroundWrite = async (one: Seen, phase: 'before' | 'after') => {
    if (one.method !== 'GET') await writeHook({ ...one, phase });
  };

  function faultFor(arrived: Omit<Seen, 'fault'>): Fault | undefined {
    for (const active of rules) {
      const { match, fault, times = Number.POSITIVE_INFINITY, probability = 1 } = active.rule;
      if (active.struck >= times || !matches(match, arrived) || random() >= probability) continue;
      active.struck += 1;
      return fault;
    }
    return undefined;
  }

  /** Sends a request on; resolves with the answer's head. */
  async function forward(
    incoming: IncomingMessage,
    body: Buffer,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const {
      host: _,
      authorization: __,
      connection: ___,
      'content-length': ____,
      ...headers
    } = incoming.headers;
    const send = target.protocol === 'https:' ? secureRequest : request;
    const outgoing = send({
      ...upstream.tls,
      hostname: target.hostname,
      port: target.port,
      method: incoming.method,
      path: incoming.url,
      headers: { ...headers, ...(await upstream.authenticate()), 'content-length': body.length },
      // A separate connection, so that cutting one answer affects no other.
      agent: false,
      signal,
    });
    return new Promise((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
      outgoing.end(body);
    });
  }

  function answer(
    response: ServerResponse,
    status: number,
    body: object,
    headers: OutgoingHttpHeaders = {},
  ): void {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(`${JSON.stringify(body)}\n`);
  }

  async function relay(
    incoming: IncomingMessage,
    response: ServerResponse,
    one: Underway,
    fault?: Fault,
  ): Promise<void> {
    const body = await bodyOf(incoming);
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    if (fault?.kind === 'duplicate') await bodyOf(await forward(incoming, body, abort.signal));
    await aroundWrite(one.seen, 'before');
    const upstreamAnswer = await forward(incoming, body, abort.signal);
    await aroundWrite(one.seen, 'after');
    if (fault?.kind === 'loseAnswer') {
      await bodyOf(upstreamAnswer);
      response.destroy();
      return;
    }
    // These headers are about the upstream connection, not the client's.
    const { connection: _, 'keep-alive': __, 'transfer-encoding': ___, ...headers } = upstreamAnswer.headers;
    one.seen.status = upstreamAnswer.statusCode;
    response.writeHead(upstreamAnswer.statusCode ?? 502, headers);
    response.flushHeaders();
    if (fault?.kind === 'endAfter') setTimeout(() => response.end(), fault.ms);
    let left =
      fault?.kind === 'cut' || fault?.kind === 'freeze' ? fault.afterBytes : Number.POSITIVE_INFINITY;
    const limit = async () => {
      if (fault?.kind === 'freeze') one.frozen = true;
      // Let what was written arrive before the connection breaks.
      else await new Promise<void>((resolve) => setImmediate(() => resolve(void response.destroy())));
    };
    if (left === 0) return limit();
    const answered = translate ? translated(upstreamAnswer, translate) : upstreamAnswer;
    for await (const chunk of answered as AsyncIterable<Buffer>) {
      if (one.frozen || response.destroyed || response.writableEnded) continue;
      const part = chunk.subarray(0, left);
      left -= part.length;
      response.write(part);
      if (left === 0) await limit();
    }
    if (!one.frozen) response.end();
  }

  function handle(incoming: IncomingMessage, response: ServerResponse): void {
    const path = incoming.url ?? '/';
    const arrived = {
      method: incoming.method ?? 'GET',
      path,
      watch: isWatch(path),
      connection: sockets.get(incoming.socket) ?? 0,
    };
    const fault = faultFor(arrived);
    const one: Underway = { seen: { ...arrived, fault: fault?.kind }, response, frozen: false };
    seen.push(one.seen);
    if (seen.length > MAX_SEEN) seen.splice(0, MAX_SEEN / 2);
    underway.add(one);
    response.once('close', () => underway.delete(one));
    switch (fault?.kind) {
      case 'answer': {
        const after = fault.retryAfterSeconds;
        const headers = after === undefined ? {} : { 'retry-after': String(after) };
        incoming.resume();
        answer(response, fault.status, statusObject(fault.status, fault.reason), headers);
        return;
      }
      case 'drop':
        incoming.socket.destroy();
        return;
      case 'hang':
        incoming.resume();
        return;
      case 'emptyWatch':
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end();
        return;
      case 'expiredWatch':
        answer(response, 200, { type: 'ERROR', object: statusObject(410) });
        return;
      default:
        // An API server that is gone looks to the client like a broken connection.
        relay(incoming, response, one, fault).catch(() => response.destroy());
    }
  }

  const server: Server = createServer(handle);
  // Streams may be silent for any time.
  server.requestTimeout = 0;
  server.timeout = 0;
  server.keepAliveTimeout = 0;
  server.on('connection', (socket: Socket) => {
    connections += 1;
    sockets.set(socket, connections);
    socket.once('close', () => sockets.delete(socket));
  });
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  const down = async () => {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets.keys()) socket.destroy();
    await closed;
  };
  const each = (match: Match, act: (one: Underway) => void): number => {
    const chosen = [...underway].filter((one) => matches(match, one.seen));
    for (const one of chosen) act(one);
    return chosen.length;
  };

  return {
    url,
    apiServer: { url, tls: {}, authenticate: async () => ({}) },
    kubeconfig: () =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'proxy', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'proxy', user: {} }],
        contexts: [{ name: 'proxy', context: { cluster: 'proxy', user: 'proxy' } }],
        'current-context': 'proxy',
      }),
    onWrite(hook) {
      writeHook = hook;
    },
    add(rule) {
      const active = { rule, struck: 0 };
      rules.push(active);
      return {
        get struck() {
          return active.struck;
        },
        remove: () => {
          const index = rules.indexOf(active);
          if (index >= 0) rules.splice(index, 1);
        },
      };
    },
    clear: () => void rules.splice(0),
    seen,
    get connections() {
      return connections;
    },
    cutAll: (match = {}) => each(match, ({ response }) => response.destroy()),
    freezeAll: (match = {}) =>
      each(match, (one) => {
        one.frozen = true;
      }),
    down,
    up: () => (server.listening ? Promise.resolve() : listen(port)),
    close: down,
  };
}

/** A proxy in front of the API server of a kubeconfig. */
export async function proxyOf(kubeconfig: string): Promise<FaultProxy> {
  return startFaultProxy(await fromKubeconfig(kubeconfig));
}
