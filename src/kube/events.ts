import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '../clock/index.ts';
import type { KubeClient } from './client.ts';
import { isNotFound } from './errors.ts';
import type { KubeObject } from './object.ts';
import type { KubeLogger } from './reflector.ts';
import { resource } from './resources.ts';

export interface ObjectReference {
  apiVersion: string;
  kind: string;
  namespace: string;
  name: string;
  uid: string;
}

export interface EventDetails {
  regarding: ObjectReference;
  type: 'Normal' | 'Warning';
  /** CamelCase. */
  reason: string;
  /** What was being done; CamelCase. */
  action: string;
  /** For people; cut to 1,024 bytes. */
  note: string;
}

export interface EventRecorderOptions {
  client: KubeClient;
  reportingController: string;
  reportingInstance: string;
  logger: KubeLogger;
  clock?: Clock;
}

const MAX_NOTE_BYTES = 1024;
/** Equal Events within this time become one Event with a count. The API server uses the same window. */
const SERIES_MS = 6 * 60_000;
const MAX_REMEMBERED = 4096;
const MAX_QUEUED = 1000;
const WARN_OF_DROPS_MS = 60_000;

interface Remembered {
  name: string;
  count: number;
  lastMs: number;
}

function cut(note: string): string {
  const bytes = Buffer.from(note);
  if (bytes.length <= MAX_NOTE_BYTES) return note;
  return `${new TextDecoder().decode(bytes.subarray(0, MAX_NOTE_BYTES - 6)).replace(/\uFFFD+$/, '')}…`;
}

/** Writes Events on a best-effort basis: never throws, never blocks its caller, and drops Events if too many wait. */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #events;
  readonly #remembered = new Map<string, Remembered>();
  #tail: Promise<void> = Promise.resolve();
  #queued = 0;
  #dropped = 0;
  #warnedAt: number | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#events = resource<KubeObject>(options.client, {
      group: 'events.k8s.io',
      version: 'v1',
      plural: 'events',
      kind: 'Event',
      namespaced: true,
    });
  }

  emit(event: EventDetails): void {
    if (this.#queued >= MAX_QUEUED) {
      this.#drop();
      return;
    }
    this.#queued += 1;
    this.#tail = this.#tail
      .then(() => this.#write({ ...event, note: cut(event.note) }))
      .catch((error) => this.#options.logger.debug({ error: String(error) }, 'an Event could not be written'))
      .finally(() => {
        this.#queued -= 1;
      });
  }

  /** Warns of drops once a minute: a log line for each would add to the load. */
  #drop(): void {
    this.#dropped += 1;
    const now = this.#clock.monotonic();
    if (this.#warnedAt !== undefined && now - this.#warnedAt < WARN_OF_DROPS_MS) return;
    this.#warnedAt = now;
    this.#options.logger.warn(
      { dropped: this.#dropped },
      'too many Events wait to be written; some were dropped',
    );
  }

  /** Resolves once each Event emitted so far is written or has failed. */
  flush(): Promise<void> {
    return this.#tail;
  }

  async #write(event: EventDetails): Promise<void> {
    const { regarding, type, reason, action, note } = event;
    const nowMs = this.#clock.now();
    const time = new Date(nowMs).toISOString().replace('Z', '000Z');
    const key = createHash('sha256')
      .update(JSON.stringify([regarding.uid, type, reason, action, note]))
      .digest('hex');
    const known = this.#remembered.get(key);
    if (known && nowMs - known.lastMs < SERIES_MS) {
      known.count += 1;
      known.lastMs = nowMs;
      try {
        await this.#events.mergePatch(regarding.namespace, known.name, {
          series: { count: known.count, lastObservedTime: time },
        });
        return;
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
    // A label of a DNS name must not be empty or end in a dash.
    const name = `${regarding.name.slice(0, 200).replace(/[-.]+$/, '')}.${key.slice(0, 8)}${nowMs.toString(16)}`;
    this.#remember(key, { name, count: 1, lastMs: nowMs });
    await this.#events.create(regarding.namespace, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name, namespace: regarding.namespace },
      eventTime: time,
      reportingController: this.#options.reportingController,
      reportingInstance: this.#options.reportingInstance.slice(0, 128),
      regarding,
      type,
      reason,
      action,
      note,
    });
  }

  #remember(key: string, remembered: Remembered): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
    const oldest = this.#remembered.keys().next().value;
    if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
  }
}
