import { readFileSync, renameSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../posix/atomic-file.ts';

const ms = z.number();
const total = z.int().nonnegative();

/** What a scheduler must not forget: which slots are done, and the totals that its metrics tell. */
export const State = z.object({
  version: z.literal(1),
  /** The schedule `settledUntilMs` belongs to, in words. */
  schedule: z.string(),
  /** Intervals count from here. */
  anchorMs: ms,
  /** Every slot up to here has its run (done or `running`) or was counted. */
  settledUntilMs: ms,
  /** Written before a run starts, removed with its result. */
  running: z.object({ slotMs: ms, startedAtMs: ms, attempt: total }).optional(),
  runs: z.object({ success: total, incomplete: total, failure: total, skipped_lock: total }),
  retentionDeletes: total,
  missedSlots: total,
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
  lastSuccess: z.object({ atMs: ms, archive: z.string(), deleted: total, sizeBytes: total }).optional(),
  lastFailure: z.object({ atMs: ms, error: z.string() }).optional(),
  archives: z.object({ count: total, bytes: total }).optional(),
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
  /** It was moved to `movedTo`. */
  | { kind: 'damaged'; problem: string; movedTo: string };

/** The state beside the archives; replaced as a whole, so that a crash leaves the old or the new one. */
export class StateFile {
  readonly path: string;

  constructor(directory: string) {
    this.path = path.join(directory, STATE_NAME);
  }

  load(): LoadedState {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'none' };
      throw error;
    }
    try {
      return { kind: 'state', state: State.parse(JSON.parse(text)) };
    } catch (error) {
      const movedTo = `${this.path}.damaged`;
      renameSync(this.path, movedTo);
      return { kind: 'damaged', problem: error instanceof Error ? error.message : String(error), movedTo };
    }
  }

  save(state: State): void {
    writeJsonAtomic(this.path, state, { mode: 0o644, indent: 2 });
  }
}
