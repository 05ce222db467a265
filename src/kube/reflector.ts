import { type Clock, sleep, systemClock } from '../clock/index.ts';
import { Backoff } from './backoff.ts';
import { isExpired, KubeError } from './errors.ts';
import type { KubeObject } from './object.ts';
import { keyOf } from './object.ts';
import type { ResourceClient } from './resources.ts';
import type { Store } from './store.ts';

/** The logger that this room writes to; pino's loggers fit. */
export interface KubeLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ReflectorMetrics {
  /** A list was read; `reason` says why. */
  onList(plural: string, reason: 'start' | 'expired' | 'error'): void;
  /** A watch ended and is opened again. */
  onWatchRestart(plural: string, reason: 'closed' | 'silent' | 'error'): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  resource: ResourceClient<T>;
  store: Store<T>;
  /** Undefined: all namespaces. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  logger: KubeLogger;
  clock?: Clock;
  metrics?: ReflectorMetrics | undefined;
  /** From 0 to 1, for jitter. */
  random?: () => number;
  /** A watch that is silent for longer counts as dead: the API server sends a bookmark about once a minute. Milliseconds. */
  silenceMs?: number;
  /** The same while the watch has yet to bring an object that this process wrote. Milliseconds. */
  patienceMs?: number;
  backoff?: { baseMs: number; capMs: number };
}

/** Objects in each page, if a list has to be read in pages. */
const PAGE_SIZE = 500;
/** After this many lists that broke off, the list is read in pages. */
const BROKEN_LISTS = 2;
/** A watch that ends sooner without an event counts as a failure. */
const SHORT_LIFE_MS = 1_000;

interface WatchEvent<T> {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  object: T & {
    code?: number;
    reason?: string;
    message?: string;
    details?: { retryAfterSeconds?: number };
  };
}

/**
 * Keeps a store equal to the API server's objects of one kind: lists, then watches, and starts over whenever either
 * fails. Never throws; ends only with its signal.
 */
export class Reflector<T extends KubeObject> {
  readonly synced: Promise<void>;
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #plural: string;
  #markSynced!: () => void;
  /** The newest resource version that the watch has brought. */
  #seen = 0n;
  /** The newest resource version that this process wrote: the watch must bring it soon. */
  #expected = 0n;
  /** How many lists in a row broke off. */
  #brokenLists = 0;
  #onExpect = () => {};

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#plural = options.resource.descriptor.plural;
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  #expect({ namespace, resourceVersion }: KubeObject['metadata']): void {
    if (this.#options.namespace !== undefined && this.#options.namespace !== namespace) return;
    const version = numberOf(resourceVersion);
    if (version <= this.#expected) return;
    this.#expected = version;
    if (version > this.#seen) this.#onExpect();
  }

  /** Follows the API server until the signal aborts; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const forget = this.#options.store.onWrite((metadata) => this.#expect(metadata));
    try {
      await this.#follow(signal);
    } finally {
      forget();
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { logger, metrics, random = Math.random } = this.#options;
    const backoff = new Backoff({ baseMs: 800, capMs: 30_000, random, ...this.#options.backoff });
    let resourceVersion: string | undefined;
    let reason: 'start' | 'expired' | 'error' = 'start';
    let expired = false;
    while (!signal.aborted) {
      let quick = false;
      const alive = () => {
        quick = true;
        backoff.reset();
      };
      try {
        if (resourceVersion === undefined) {
          resourceVersion = await this.#list(signal);
          this.#seen = numberOf(resourceVersion);
          metrics?.onList(this.#plural, reason);
          this.#markSynced();
        }
        const openedAt = this.#clock.monotonic();
        for await (const version of this.#watch(resourceVersion, signal)) {
          resourceVersion = version;
          this.#seen = numberOf(version);
          expired = false;
          alive();
        }
        metrics?.onWatchRestart(this.#plural, 'closed');
        // A server that closes every watch at once must not be asked in a tight loop.
        if (this.#clock.monotonic() - openedAt >= SHORT_LIFE_MS) alive();
        await sleep(this.#clock, quick ? 50 + random() * 50 : backoff.next(), signal);
      } catch (error) {
        if (signal.aborted) return;
        const silent = error instanceof SilentStream;
        if (isExpired(error)) {
          resourceVersion = undefined;
          reason = 'expired';
          logger.info({ kind: this.#plural }, 'the resource version expired; listing again');
          // Once is normal; a server that calls every version expired must not be listed in a tight loop.
          if (expired) await sleep(this.#clock, backoff.next(), signal);
          expired = true;
          continue;
        }
        if (resourceVersion === undefined && reason === 'start') reason = 'error';
        metrics?.onWatchRestart(this.#plural, silent ? 'silent' : 'error');
        const waitMs = silent ? 0 : backoff.next(error instanceof KubeError ? error.retryAfterMs : undefined);
        logger.warn(
          { kind: this.#plural, error: String(error), waitMs: Math.round(waitMs) },
          'the watch broke; trying again',
        );
        await sleep(this.#clock, waitMs, signal);
      }
    }
  }

  /**
   * Lists without pages, unless that failed before: the API server answers a whole list from its cache, but reads
   * every page after the first from etcd, which costs several times as much.
   */
  async #list(signal: AbortSignal): Promise<string> {
    const { resource, namespace, labelSelector, fieldSelector, store } = this.#options;
    const pageSize = this.#brokenLists < BROKEN_LISTS ? undefined : PAGE_SIZE;
    const options = { labelSelector, fieldSelector, pageSize, attempts: 1, signal };
    const list = store.beginList(namespace);
    try {
      const resourceVersion = await resource.visit(namespace, options, (object) =>
        this.#takeIn(() => list.put(object), object),
      );
      this.#brokenLists = 0;
      this.#takeIn(() => list.complete());
      return resourceVersion;
    } catch (error) {
      if (error instanceof KubeError && error.status === 0) this.#brokenLists += 1;
      throw error;
    } finally {
      list.end();
    }
  }

  /** Yields the resource version after each event. */
  async *#watch(resourceVersion: string, signal: AbortSignal): AsyncGenerator<string> {
    const {
      resource,
      namespace,
      labelSelector,
      fieldSelector,
      random = Math.random,
      silenceMs = 90_000,
      patienceMs = 10_000,
    } = this.#options;
    const stream = new AbortController();
    let cancelTimer = () => {};
    const alive = () => {
      cancelTimer();
      const longestMs = this.#expected > this.#seen ? patienceMs : silenceMs;
      cancelTimer = this.#clock.after(longestMs, () =>
        stream.abort(new SilentStream(this.#plural, longestMs)),
      );
    };
    let hurried = false;
    this.#onExpect = () => {
      // Only the first write restarts the timer: further ones must not keep a dead watch alive.
      if (!hurried) alive();
      hurried = true;
    };
    alive();
    try {
      const body = await resource.watch(namespace, {
        labelSelector,
        fieldSelector,
        resourceVersion,
        timeoutSeconds: Math.round(300 + random() * 300),
        signal: AbortSignal.any([signal, stream.signal]),
      });
      for await (const line of linesOf(body)) {
        yield this.#handle(JSON.parse(line) as WatchEvent<T>);
        hurried = this.#expected > this.#seen;
        alive();
      }
    } catch (error) {
      if (!(stream.signal.reason instanceof SilentStream)) throw error;
      // Expect nothing of the next watch: an object that never arrives must not end every watch.
      this.#expected = this.#seen;
      throw stream.signal.reason;
    } finally {
      cancelTimer();
      this.#onExpect = () => {};
      stream.abort();
    }
  }

  #handle({ type, object }: WatchEvent<T>): string {
    if (type === 'ERROR') {
      throw new KubeError({
        status: object.code ?? 0,
        reason: object.reason ?? 'Unknown',
        message: `watch ${this.#plural}: ${object.message ?? 'error'}`,
        ...(object.details?.retryAfterSeconds !== undefined && {
          retryAfterMs: object.details.retryAfterSeconds * 1000,
        }),
      });
    }
    if (type === 'DELETED') this.#takeIn(() => this.#options.store.remove(object), object);
    else if (type !== 'BOOKMARK') this.#takeIn(() => this.#options.store.put(object), object);
    return object.metadata.resourceVersion;
  }

  /** Applies a change, and logs an error: an unreadable object or a failing handler must not end the watch. */
  #takeIn(change: () => void, object?: T): void {
    try {
      change();
    } catch (error) {
      const key = object && keyOf(object);
      this.#options.logger.error(
        { kind: this.#plural, key, error: String(error) },
        'a change could not be applied',
      );
    }
  }
}

/** 0 for a version that is not a number: nothing is then expected of the watch. */
function numberOf(version: string): bigint {
  return /^\d+$/.test(version) ? BigInt(version) : 0n;
}

class SilentStream extends Error {
  constructor(plural: string, silenceMs: number) {
    super(`the watch of ${plural} was silent for ${silenceMs} ms`);
  }
}

async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  for await (const chunk of body) {
    const parts = decoder.decode(chunk, { stream: true }).split('\n');
    for (const [index, part] of parts.entries()) {
      pieces.push(part);
      if (index === parts.length - 1) break;
      const line = pieces.join('');
      pieces.length = 0;
      if (line !== '') yield line;
    }
  }
}
