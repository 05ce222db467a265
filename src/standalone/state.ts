import { readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { ArchiveError } from '../archive/index.ts';
import { writeJsonAtomic } from '../posix/atomic-file.ts';
import { codeOf } from '../posix/system-error.ts';

/** Epoch milliseconds that a Date can hold. */
const ms = z.number().min(0).max(8.64e15);
const total = z.int().nonnegative();

/** What a scheduler must not forget: which scheduled times are settled, and the totals that its metrics show. */
export const State = z.object({
  version: z.literal(1),
  /** The schedule that `settledUntilMs` belongs to, in words. */
  schedule: z.string(),
  /** Intervals count from here. */
  anchorMs: ms,
  /** Every scheduled time up to here has its run (done or `running`) or was counted. */
  settledUntilMs: ms,
  /**
   * The clock was ahead of what it says now when the state was last written. Dropped once it has caught up.
   * `settledUntilMs` below is the value of that time: if today's clock turns out to be behind, it holds again.
   */
  clock: z.object({ correctedAtMs: ms, aheadMs: ms, settledUntilMs: ms }).optional(),
  /** Written before a run starts, removed with its result. */
  running: z.object({ slotMs: ms, startedAtMs: ms, attempt: total }).optional(),
  runs: z.object({ success: total, incomplete: total, failure: total, skipped_lock: total }),
  retentionDeletes: total,
  missedSlots: total,
  missedCountedAtMs: ms.optional(),
  lastRun: z
    .object({
      success: z.boolean(),
      durationSeconds: z.number().optional(),
      sizeBytes: total.optional(),
      sourceBytes: total.optional(),
      reusedBytes: total.optional(),
      warnings: total.optional(),
    })
    .optional(),
  lastSuccess: z
    .object({
      atMs: ms,
      archive: z.string(),
      deleted: total,
      sizeBytes: total,
      durationSeconds: z.number().optional(),
    })
    .optional(),
  lastFailure: z.object({ atMs: ms, error: z.string() }).optional(),
  /** `suspicious`: of them, those that nobody approved. */
  archives: z.object({ count: total, bytes: total, suspicious: total.optional() }).optional(),
});
export type State = z.infer<typeof State>;

export function freshState(schedule: string, nowMs: number): State {
  return {
    version: 1,
    schedule,
    anchorMs: nowMs,
    settledUntilMs: nowMs,
    runs: { success: 0, incomplete: 0, failure: 0, skipped_lock: 0 },
    retentionDeletes: 0,
    missedSlots: 0,
  };
}

/** Outside the managed pattern, so that retention never sees it. */
export const STATE_NAME = '.km-backup-serve.json';

export type LoadedState =
  | { kind: 'none' }
  | { kind: 'state'; state: State }
  /** `movedTo` is undefined if it could not be moved. */
  | { kind: 'damaged'; problem: string; movedTo: string | undefined };

/** The state file, next to the archives. Replaced atomically, so that a crash leaves the old or the new one. */
export class StateFile {
  readonly path: string;

  constructor(directory: string) {
    this.path = path.join(directory, STATE_NAME);
  }

  /** @throws {ArchiveError} DestinationUnusable when the file is there but cannot be read. */
  load(): LoadedState {
    const text = this.#text();
    if (text === undefined) return { kind: 'none' };
    try {
      return { kind: 'state', state: State.parse(JSON.parse(text)) };
    } catch (error) {
      return { kind: 'damaged', problem: problemOf(error), movedTo: this.#moveAside() };
    }
  }

  /**
   * What the scheduler has recorded, for others than the scheduler: undefined if there is nothing to read.
   * @throws {ArchiveError} DestinationUnusable when the file is there but cannot be read.
   */
  peek(): State | undefined {
    const text = this.#text();
    if (text === undefined) return undefined;
    try {
      return State.parse(JSON.parse(text));
    } catch {
      return undefined;
    }
  }

  #text(): string | undefined {
    try {
      return readFileSync(this.path, 'utf8');
    } catch (error) {
      const code = codeOf(error);
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw new ArchiveError(
        'DestinationUnusable',
        `The scheduler's state ${this.path} cannot be read (${code}). Run as its owner, or correct its permissions.`,
        { cause: error },
      );
    }
  }

  /** @throws A system error when the file cannot be written. */
  save(state: State): void {
    // The name is fixed, because only one process writes, and none that a run sweeps from the destination.
    writeJsonAtomic(this.path, state, { mode: 0o644, indent: 2, temporary: `${STATE_NAME}.new` });
  }

  #moveAside(): string | undefined {
    const movedTo = `${this.path}.damaged`;
    try {
      renameSync(this.path, movedTo);
      return movedTo;
    } catch {
      return undefined;
    }
  }
}

function problemOf(error: unknown): string {
  if (error instanceof z.ZodError) return z.prettifyError(error);
  return error instanceof Error ? error.message : String(error);
}
