import type { Dispatcher } from 'undici';
import { type Clock, sleep, systemClock } from '../clock/index.ts';
import { Agent } from './agent.ts';
import type { ApiServer } from './api-server.ts';
import { Backoff } from './backoff.ts';
import { KubeError } from './errors.ts';
import type { ExecRequest } from './exec.ts';
import { type Asked, noAnswer, noCredentials } from './transport-errors.ts';

export interface ApiRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal | undefined;
  /** Overrides the client's own number. */
  attempts?: number | undefined;
}

/** Called for every answer. `status` is 0 if none came. */
export type RequestObserver = (request: {
  method: string;
  path: string;
  status: number;
  seconds: number;
}) => void;

export interface KubeClientOptions {
  userAgent?: string;
  /** Requests a second, and the size of a burst. Absent: unlimited. */
  rate?: { qps: number; burst: number };
  observe?: RequestObserver;
  clock?: Clock;
  /** Attempts of each request, including the first. */
  attempts?: number;
  /** Connections at once, besides those of watches. */
  connections?: number;
  /** Timeout of one attempt, from sending it to the end of the answer; milliseconds. */
  timeoutMs?: number;
}

const REQUEST_TIMEOUT_MS = 30_000;
/** Enough to keep an API server busy; each connection costs both sides a TLS handshake. */
const CONNECTIONS = 16;
/** If the server asks to wait longer, the request fails at once and the caller decides. Milliseconds. */
const LONGEST_PAUSE_MS = 60_000;

/** A token bucket: each request takes a token, and `qps` tokens are added a second. */
class TokenBucket {
  readonly #qps: number;
  readonly #burst: number;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  constructor(rate: { qps: number; burst: number }, clock: Clock) {
    this.#qps = rate.qps;
    this.#burst = rate.burst;
    this.#clock = clock;
    this.#tokens = rate.burst;
    this.#at = clock.monotonic();
  }

  async take(signal: AbortSignal | undefined): Promise<void> {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#qps);
    this.#at = now;
    this.#tokens -= 1;
    if (this.#tokens < 0) await sleep(this.#clock, (-this.#tokens / this.#qps) * 1000, signal);
  }
}

function retryAfter(header: string | string[] | undefined): number | undefined {
  const seconds = Number(Array.isArray(header) ? header[0] : header);
  return Number.isFinite(seconds) && header !== undefined ? seconds * 1000 : undefined;
}

async function refusal(response: Dispatcher.ResponseData, what: string): Promise<KubeError> {
  const text = await response.body.text().catch(() => '');
  let status: { reason?: string; message?: string } = {};
  try {
    status = JSON.parse(text) as typeof status;
  } catch {
    status = { message: text.slice(0, 500) };
  }
  const retryAfterMs = retryAfter(response.headers['retry-after']);
  return new KubeError({
    status: response.statusCode,
    reason: status.reason ?? `HTTP${response.statusCode}`,
    message: `${what}: ${status.message || `the API server answered ${response.statusCode}`}`,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

/** Reads the body of an answer. */
export type ReadBody<T> = (body: AsyncIterable<Uint8Array>) => Promise<T>;

/** Timeouts of one attempt, in milliseconds: for all of it, or for the gaps between chunks of its answer. */
interface TimeLimit {
  wholeMs?: number;
  silenceMs?: number;
}

/** Raw JSON over one shared connection pool. */
export class KubeClient {
  readonly #server: ApiServer;
  readonly #agent: Agent;
  /** Watches occupy their connections, so other requests must not share them. */
  readonly #streams: Agent;
  readonly #clock: Clock;
  readonly #bucket: TokenBucket | undefined;
  readonly #options: KubeClientOptions;

  constructor(server: ApiServer, options: KubeClientOptions = {}) {
    this.#server = server;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#bucket = options.rate && new TokenBucket(options.rate, this.#clock);
    const common = {
      // On a shared HTTP/2 connection, large answers delay the watches until the API server ends them as unresponsive.
      allowH2: false,
      connect: { ...server.tls, timeout: 10_000 },
      keepAliveTimeout: 60_000,
      headersTimeout: this.#timeoutMs,
    };
    this.#agent = new Agent({ ...common, connections: options.connections ?? CONNECTIONS });
    this.#streams = new Agent(common);
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? REQUEST_TIMEOUT_MS;
  }

  /**
   * Sends one request and parses the answer. Retries 429, 5xx and broken connections with jittered back-off that
   * honours Retry-After. A POST that the server may have carried out is not retried: the caller finds out by
   * AlreadyExists. A 401 is retried once with fresh credentials.
   *
   * @param read Reads a long answer as it arrives, instead of parsing it whole. Each retry calls it again, and the
   *   timeout then applies to gaps between chunks.
   * @throws {KubeError} when the last attempt failed.
   */
  async request<T>(request: ApiRequest, read?: ReadBody<T>): Promise<T> {
    const backoff = new Backoff({ baseMs: 200, capMs: 10_000 });
    const attempts = request.attempts ?? this.#options.attempts ?? 5;
    let forgotten = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        const limit = read ? { silenceMs: this.#timeoutMs } : { wholeMs: this.#timeoutMs };
        const { body } = await this.#send(this.#agent, request, limit);
        return read ? await read(body) : ((await body.json()) as T);
      } catch (error) {
        const failure = this.#asKubeError(error, request);
        if (failure.status === 401 && !forgotten && this.#server.forgetCredentials) {
          forgotten = true;
          this.#server.forgetCredentials();
          continue;
        }
        const pauseMs = backoff.next(failure.retryAfterMs);
        if (attempt >= attempts || request.signal?.aborted || pauseMs > LONGEST_PAUSE_MS) throw failure;
        if (!mayRetry(failure, request.method)) throw failure;
        await sleep(this.#clock, pauseMs, request.signal);
      }
    }
  }

  /**
   * Opens a streaming request; the body is read until it ends or the signal aborts.
   * @throws {KubeError} when the server refuses.
   */
  async stream(request: ApiRequest): Promise<AsyncIterable<Uint8Array>> {
    try {
      return (await this.#send(this.#streams, request)).body;
    } catch (error) {
      const failure = this.#asKubeError(error, request);
      if (failure.status === 401) this.#server.forgetCredentials?.();
      throw failure;
    }
  }

  /**
   * Runs a program in a container and resolves with its exit code.
   * @throws {KubeError} when it could not be started, or the connection broke before its end.
   */
  async exec(request: ExecRequest): Promise<number> {
    const asked = { method: 'GET', path: `exec in pod ${request.namespace}/${request.pod}` } as const;
    const headers = { 'user-agent': this.#userAgent, ...(await this.#credentials(asked)) };
    // Loaded only here: the operator never runs programs in pods.
    const { exec, execPath } = await import('./exec.ts');
    const url = this.#server.url.replace(/^http/, 'ws') + execPath(request);
    return exec(request, { url, headers, dispatcher: this.#streams });
  }

  /** Closes every connection. */
  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), this.#streams.destroy()]);
  }

  get #userAgent(): string {
    return this.#options.userAgent ?? 'km-backup-operator';
  }

  async #send(agent: Agent, request: ApiRequest, limit: TimeLimit = {}): Promise<Dispatcher.ResponseData> {
    await this.#bucket?.take(request.signal);
    const { method, path, query, body, signal } = request;
    const url = new URL(this.#server.url + path);
    for (const [name, value] of Object.entries(query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value));
    // The timeout does not include waiting for a token.
    const timeout = limit.wholeMs === undefined ? undefined : AbortSignal.timeout(limit.wholeMs);
    const signals = [signal, timeout].filter((one) => one !== undefined);
    const started = this.#clock.monotonic();
    let status = 0;
    try {
      const response = await agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: {
          accept: 'application/json',
          'user-agent': this.#userAgent,
          ...(body !== undefined && { 'content-type': request.contentType ?? 'application/json' }),
          ...(await this.#credentials(request)),
        },
        body: body === undefined ? null : JSON.stringify(body),
        bodyTimeout: limit.silenceMs ?? 0,
        signal: signals.length > 0 ? AbortSignal.any(signals) : null,
      });
      status = response.statusCode;
      if (status >= 200 && status < 300) return response;
      throw await refusal(response, `${method} ${path}`);
    } finally {
      this.#options.observe?.({ method, path, status, seconds: (this.#clock.monotonic() - started) / 1000 });
    }
  }

  #asked({ method, path }: ApiRequest): Asked {
    return { what: `${method} ${path}`, url: this.#server.url, timeoutMs: this.#timeoutMs };
  }

  #asKubeError(error: unknown, request: ApiRequest): KubeError {
    return error instanceof KubeError ? error : noAnswer(error, this.#asked(request));
  }

  async #credentials(request: ApiRequest): Promise<Record<string, string>> {
    try {
      return await this.#server.authenticate();
    } catch (error) {
      throw noCredentials(error, this.#asked(request));
    }
  }
}

/** Reasons for which a request never reached the API server. */
const NOT_SENT = new Set(['ConnectionRefused', 'NoCredentials']);

function mayRetry(error: KubeError, method: ApiRequest['method']): boolean {
  if (error.status === 429 || NOT_SENT.has(error.reason)) return true;
  return method !== 'POST' && (error.status === 0 || error.status >= 500);
}
