/** Sends spans to a collector, in the background: a collector that is away costs traces, never backups. */
import { type Clock, sleep } from '../clock/index.ts';
import type { TraceSettings } from './settings.ts';
import { exportRequest, type Span } from './span.ts';

/** Spans gather for this long, so that a full hour of runs is one request. */
const GATHER_MS = 5_000;
const BATCH = 512;
/** Beyond this the oldest are dropped. */
const QUEUE = 4_096;
const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 2_000;

export interface SpanExporterOptions {
  readonly settings: TraceSettings;
  readonly scope: { readonly name: string; readonly version: string };
  readonly clock: Clock;
  readonly fetch?: typeof fetch;
  /** Called once when traces begin to be lost, and once when they get through again. */
  readonly onState: (state: { readonly lost: string } | 'sent') => void;
}

export class SpanExporter {
  readonly #options: SpanExporterOptions;
  #queue: Span[] = [];
  #timer: (() => void) | undefined;
  #sending: Promise<void> = Promise.resolve();
  #isLosing = false;

  constructor(options: SpanExporterOptions) {
    this.#options = options;
  }

  add(spans: readonly Span[]): void {
    if (spans.length === 0) return;
    this.#queue.push(...spans);
    if (this.#queue.length > QUEUE) {
      this.#queue = this.#queue.slice(-QUEUE);
      this.#lost('too many wait for the collector');
    }
    this.#timer ??= this.#options.clock.after(GATHER_MS, () => void this.flush());
  }

  /** Sends what waits. Never rejects. @param signal Ends the retries. */
  flush(signal?: AbortSignal): Promise<void> {
    this.#timer?.();
    this.#timer = undefined;
    this.#sending = this.#sending.then(async () => {
      while (this.#queue.length > 0) await this.#deliver(this.#queue.splice(0, BATCH), signal);
    });
    return this.#sending;
  }

  async #deliver(spans: readonly Span[], signal: AbortSignal | undefined): Promise<void> {
    const { settings, scope, clock } = this.#options;
    const body = JSON.stringify(exportRequest(spans, settings.attributes, scope));
    for (let attempt = 1; ; attempt += 1) {
      const answer = await this.#post(body);
      if (answer === 'sent') {
        if (this.#isLosing) this.#options.onState('sent');
        this.#isLosing = false;
        return;
      }
      if (!answer.again || attempt >= ATTEMPTS || signal?.aborted) return this.#lost(answer.why);
      await sleep(clock, FIRST_PAUSE_MS * 2 ** (attempt - 1), signal);
    }
  }

  async #post(body: string): Promise<'sent' | { readonly why: string; readonly again: boolean }> {
    const { settings, fetch: send = fetch } = this.#options;
    try {
      const response = await send(settings.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...settings.headers },
        body,
        redirect: 'error',
        signal: AbortSignal.timeout(settings.timeoutMs),
      });
      await response.body?.cancel();
      if (response.ok) return 'sent';
      // As the protocol says.
      const again = [429, 502, 503, 504].includes(response.status);
      return { why: `the collector answered ${response.status}`, again };
    } catch (error) {
      const { message, cause } = error as Error;
      return { why: cause instanceof Error ? cause.message || message : message, again: true };
    }
  }

  #lost(why: string): void {
    if (!this.#isLosing) this.#options.onState({ lost: why });
    this.#isLosing = true;
  }
}
