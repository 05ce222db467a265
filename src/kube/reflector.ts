import { type Clock, sleep, systemClock } from '../clock/index.ts';
import { Backoff } from './backoff.ts';
import { isExpired, KubeError } from './errors.ts';
import type { KubeObject, ResourceClient } from './resources.ts';
import { keyOf, type Store } from './store.ts';

export interface Change<T> {
  type: 'added' | 'updated' | 'deleted';
  object: T;
}

/** What the reflector writes to; pino's loggers fit. */
export interface KubeLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ReflectorMetrics {
  /** A list was read; `reason` says why. */
  onList(plural: string, reason: 'start' | 'expired' | 'error'): void;
  /** A watch ended and is opened anew. */
  onWatchRestart(plural: string, reason: 'closed' | 'silent' | 'error'): void;
}

export interface ReflectorOptions<T extends KubeObject> {
  resource: ResourceClient<T>;
  store: Store<T>;
  onEvent: (change: Change<T>) => void;
  /** Undefined: all namespaces. */
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  /** Drops what nobody reads before it is stored; by default only `metadata.managedFields`. */
  transform?: (object: T) => T;
  logger: KubeLogger;
  clock?: Clock;
  metrics?: ReflectorMetrics | undefined;
  /** From 0 to 1, for jitter. */
  random?: () => number;
  /**
   * The API server sends a bookmark about once a minute; a stream silent for longer than this is dead.
   * Milliseconds.
   */
  silenceMs?: number;
  /** A stream silent for longer than this, though something `expect`ed has not come, is dead. Milliseconds. */
  patienceMs?: number;
  backoff?: { baseMs: number; capMs: number };
}

/** Objects a page, where a list does not come whole. */
const PAGE_SIZE = 500;
/** So many lists must have broken off before they are asked for in pages. */
const BROKEN_LISTS = 2;
/** A watch that lived for less, and brought nothing, counts as a failure. */
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
 * Keeps a store equal to one kind of object on the API server: lists, then watches, and starts over as often
 * as it takes. Never fails; ends only with its signal. A deleted and recreated object is a deletion and an
 * addition, whatever happened in between.
 */
export class Reflector<T extends KubeObject> {
  readonly synced: Promise<void>;
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #plural: string;
  #markSynced!: () => void;
  /** Resource versions of this kind: the last that came, and the last that is known to be. */
  #seen = 0n;
  #expected = 0n;
  /** Lists one after the other that broke off before they were whole. */
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

  /**
   * The API server holds an object of those followed at this resource version: a watch that does not tell of it and
   * is silent otherwise is found out long before a bookmark is due.
   */
  expect(resourceVersion: string): void {
    const version = numberOf(resourceVersion);
    if (version <= this.#expected) return;
    this.#expected = version;
    if (version > this.#seen) this.#onExpect();
  }

  /** Follows the API server until the signal aborts; never throws. */
  async run(signal: AbortSignal): Promise<void> {
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
   * All at once, which the API server answers from its cache; for each page but the first it asks etcd, at several
   * times the cost. In pages where the whole does not come through.
   */
  async #list(signal: AbortSignal): Promise<string> {
    const { resource, namespace, labelSelector, fieldSelector, store } = this.#options;
    const gone = new Set<string>();
    for (const key of store.keys())
      if (namespace === undefined || key.startsWith(`${namespace}/`)) gone.add(key);
    const pageSize = this.#brokenLists < BROKEN_LISTS ? undefined : PAGE_SIZE;
    const options = { labelSelector, fieldSelector, pageSize, attempts: 1, signal };
    try {
      const resourceVersion = await resource.visit(namespace, options, (object) => {
        gone.delete(keyOf(object));
        this.#put(object);
      });
      this.#brokenLists = 0;
      for (const key of gone) this.#remove(key);
      return resourceVersion;
    } catch (error) {
      if (error instanceof KubeError && error.status === 0) this.#brokenLists += 1;
      throw error;
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
      // What was written since must not keep a dead stream alive.
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
      // Once is enough: what no watch ever tells must not end one after the other.
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
    if (type === 'DELETED') this.#remove(keyOf(object), object);
    else if (type !== 'BOOKMARK') this.#put(object);
    return object.metadata.resourceVersion;
  }

  #put(raw: T): void {
    const { store } = this.#options;
    const object = this.#trim(raw);
    if (!object) return;
    const old = store.get(keyOf(object));
    if (
      old?.metadata.resourceVersion === object.metadata.resourceVersion &&
      old.metadata.uid === object.metadata.uid
    )
      return;
    if (old && old.metadata.uid !== object.metadata.uid) this.#remove(keyOf(object));
    const replaced = store.set(object);
    this.#tell({ type: replaced ? 'updated' : 'added', object });
  }

  /** Undefined for an object that cannot be read; one such must not keep the others from view. */
  #trim(raw: T): T | undefined {
    const { transform, logger } = this.#options;
    try {
      return transform ? transform(raw) : withoutManagedFields(raw);
    } catch (error) {
      logger.error({ kind: this.#plural, key: keyOf(raw), error: String(error) }, 'an object was left out');
      return undefined;
    }
  }

  #remove(key: string, last?: T): void {
    const old = this.#options.store.delete(key);
    const object = (last && this.#trim(last)) ?? old;
    if (object) this.#tell({ type: 'deleted', object });
  }

  /** A handler that throws must not end the watch. */
  #tell(change: Change<T>): void {
    try {
      this.#options.onEvent(change);
    } catch (error) {
      this.#options.logger.error(
        { kind: this.#plural, key: keyOf(change.object), error: String(error) },
        'a watch handler failed',
      );
    }
  }
}

/** Often half of an object, and read by nobody. */
function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown };
  return managedFields === undefined ? object : { ...object, metadata };
}

/** Versions of one kind are ordered numbers; nothing is expected of what is none. */
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
