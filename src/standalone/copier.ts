/** Copies the newest archive off the machine after each success. Separate from the schedule: it never delays a run. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import type { Clock } from '../clock/index.ts';
import type { CopyCheck } from '../health/index.ts';
import { type Logger, printable } from '../log/index.ts';
import { writeJsonAtomic } from '../posix/atomic-file.ts';

/** What `km-backup serve` takes from the variables of copies. */
export interface CopySettings {
  /** Address of the location. */
  readonly to: string;
  /** Empty: copies are stored unencrypted. */
  readonly recipients: readonly string[];
  readonly retentionLimit: number;
  readonly pathStyle: boolean;
}

const total = z.number().nonnegative();
const CopyState = z.object({
  version: z.literal(1),
  /** Another address starts from zero. */
  to: z.string(),
  success: total,
  failure: total,
  uploadedBytes: total,
  reusedBytes: total,
  lastSuccess: z.object({ atMs: total, archive: z.string() }).optional(),
  lastFailure: z.object({ atMs: total, error: z.string() }).optional(),
});
export type CopyState = z.infer<typeof CopyState>;

/** Next to the archives, outside the managed pattern. */
export const COPY_STATE_NAME = '.km-backup-serve-copies.json';

const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 3_600_000;

export interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

export interface CopierOptions {
  readonly settings: CopySettings;
  readonly destination: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Runs km-backup; ends it when the signal aborts. */
  readonly run: (args: readonly string[], signal: AbortSignal) => Promise<Ended>;
  readonly onChange: (state: CopyState) => void;
}

/** One copy at a time. A failure is tried again after 1, 2, 4 … 60 minutes, and after the next backup. */
export class Copier {
  readonly #options: CopierOptions;
  readonly #abort = new AbortController();
  readonly #file: string;
  #state: CopyState;
  #active: Promise<void> | undefined;
  #isWanted = false;
  #failures = 0;
  #cancelRetry: (() => void) | undefined;

  constructor(options: CopierOptions) {
    this.#options = options;
    this.#file = path.join(options.destination, COPY_STATE_NAME);
    this.#state = load(this.#file, options.settings.to);
    options.onChange(this.#state);
  }

  /** Called when there is an archive to copy. */
  request(): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelRetry?.();
    this.#isWanted = true;
    this.#active ??= this.#work();
  }

  check(): CopyCheck {
    const { to, lastSuccess, lastFailure } = this.#state;
    const failed = lastFailure !== undefined && lastFailure.atMs >= (lastSuccess?.atMs ?? 0);
    return {
      status: failed ? 'error' : this.#active ? 'copying' : lastSuccess ? 'ok' : 'pending',
      location: to,
      ...(lastSuccess && { last_success: toIso(lastSuccess.atMs), archive: lastSuccess.archive }),
      ...(failed && { last_failure: toIso(lastFailure.atMs), error: lastFailure.error }),
    };
  }

  /** Ends a copy under way: what it stored is not stored again. */
  async stop(): Promise<void> {
    this.#cancelRetry?.();
    this.#abort.abort();
    await this.#active;
  }

  async #work(): Promise<void> {
    while (this.#isWanted && !this.#abort.signal.aborted) {
      this.#isWanted = false;
      await this.#once();
    }
    this.#active = undefined;
  }

  async #once(): Promise<void> {
    const { settings, destination, clock, logger, run } = this.#options;
    const { signal } = this.#abort;
    const where = [
      settings.to,
      '--destination',
      destination,
      '--json',
      ...(settings.pathStyle ? ['--path-style'] : []),
    ];
    const readers = settings.recipients.flatMap((recipient) => ['--recipient', recipient]);
    const how = readers.length > 0 ? readers : ['--no-encryption'];
    const ended = await run(['copy', '--newest', ...where, ...how, '--progress', 'none'], signal);
    if (signal.aborted) return;
    const report = ended.status === 0 ? reportOf(ended.out) : undefined;
    if (!report) return this.#failed(errorOf(ended));
    this.#failures = 0;
    const { lastFailure: _, ...rest } = this.#state;
    this.#save({
      ...rest,
      success: rest.success + 1,
      uploadedBytes: rest.uploadedBytes + report.uploadedBytes,
      reusedBytes: rest.reusedBytes + report.reusedBytes,
      lastSuccess: { atMs: clock.now(), archive: report.archive },
    });
    logger.info(report, 'copied');
    if (settings.retentionLimit < 1) return;
    const limit = ['--retention-limit', String(settings.retentionLimit)];
    const pruned = await run(['prune', ...where, ...limit], signal);
    if (pruned.status !== 0 && !signal.aborted) {
      logger.warn(
        { error: errorOf(pruned) },
        'retention of copies failed; it is tried again after the next copy',
      );
    }
  }

  #failed(error: string): void {
    const { clock, logger } = this.#options;
    const retryMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures++);
    this.#save({
      ...this.#state,
      failure: this.#state.failure + 1,
      lastFailure: { atMs: clock.now(), error },
    });
    logger.error({ error, retrySeconds: retryMs / 1000 }, 'copying failed; the backup itself is complete');
    this.#cancelRetry = clock.after(retryMs, () => this.request());
  }

  #save(state: CopyState): void {
    this.#state = state;
    try {
      writeJsonAtomic(this.#file, state, { mode: 0o644, indent: 2, temporary: `${COPY_STATE_NAME}.new` });
    } catch (error) {
      this.#options.logger.error({ error: String(error) }, 'the state of the copies could not be written');
    }
    this.#options.onChange(state);
  }
}

function load(file: string, to: string): CopyState {
  try {
    const state = CopyState.parse(JSON.parse(readFileSync(file, 'utf8')));
    if (state.to === to) return state;
  } catch {
    // Missing or damaged: only the totals of the metrics start from zero.
  }
  return { version: 1, to, success: 0, failure: 0, uploadedBytes: 0, reusedBytes: 0 };
}

const Report = z.object({ archive: z.string(), uploadedBytes: total, reusedBytes: total });

function reportOf(out: string): z.infer<typeof Report> | undefined {
  try {
    return Report.parse(JSON.parse(out.trimEnd().split('\n').at(-1) ?? ''));
  } catch {
    return undefined;
  }
}

function errorOf({ status, err }: Ended): string {
  const line = err.trimEnd().split('\n').at(-1) ?? '';
  return printable(line.replace(/^km-backup: /, '') || `km-backup ended with ${status}`, 1000);
}

function toIso(atMs: number): string {
  return new Date(atMs).toISOString();
}
