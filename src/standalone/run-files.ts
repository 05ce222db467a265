/**
 * What a run leaves in the destination for a scheduler that was killed meanwhile: a lock that lasts as long as the
 * run, and the result of the built-in program.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { RunResult } from '../api/run-result.ts';
import { listArchives } from '../archive/index.ts';
import { FileLock } from '../posix/file-lock.ts';
import type { RunReport } from './transitions.ts';

const RUN_LOCK_NAME = '.km-backup-serve-run.lock';
const RESULT_NAME = '.km-backup-serve-result.json';

export function resultFileOf(destination: string): string {
  return path.join(destination, RESULT_NAME);
}

/** Holds the run lock; undefined while a run of a killed scheduler is still going. */
export function holdRun(destination: string): FileLock | undefined {
  const attempt = FileLock.tryLock(path.join(destination, RUN_LOCK_NAME));
  return attempt.acquired ? attempt.lock : undefined;
}

export function isRunGoing(destination: string): boolean {
  using lock = holdRun(destination);
  return lock === undefined;
}

/** Resolves once no run is going. Rejects with the signal's reason when it aborts. */
export async function runEnded(destination: string, signal: AbortSignal): Promise<void> {
  const attempt = await FileLock.lock(path.join(destination, RUN_LOCK_NAME), { waitMs: Infinity, signal });
  if (attempt.acquired) attempt.lock.release();
}

export type ResultDetails = Pick<RunReport, 'sourceBytes' | 'reusedBytes' | 'warnings' | 'present'>;

export interface StoredResult {
  readonly result: RunResult;
  readonly details: ResultDetails;
}

/** The result of the last run of the built-in program; undefined if it wrote none. */
export function readResult(destination: string): StoredResult | undefined {
  try {
    const result = RunResult.parse(JSON.parse(readFileSync(resultFileOf(destination), 'utf8')));
    const { archive, warnings, present } = result;
    const details: ResultDetails = {
      warnings: warnings.count,
      ...(archive && {
        sourceBytes: archive.sourceBytes,
        reusedBytes: archive.reusedBytes,
        present: {
          count: present.count,
          bytes: present.bytes,
          suspicious: present.suspicious?.length ?? 0,
        },
      }),
    };
    return { result, details };
  } catch {
    return undefined;
  }
}

const outcomes = {
  Succeeded: 'success',
  Incomplete: 'incomplete',
  Skipped: 'skipped_lock',
  Failed: 'failure',
} as const satisfies Record<RunResult['outcome'], RunReport['outcome']>;

/**
 * What became of a run of the built-in program whose scheduler was killed; undefined if it was cut short. The
 * result that it wrote decides. If it was killed before it could write one, its archive does: complete, without a
 * series (the scheduler uses none), begun after the run was started.
 */
export function interruptedRun(
  destination: string,
  startedAtMs: number,
  nowMs: number,
): RunReport | undefined {
  const stored = readResult(destination);
  // An older result is that of an earlier run.
  if (stored && Date.parse(stored.result.startedAt) >= startedAtMs) {
    const { outcome, reason, message, startedAt, finishedAt, archive } = stored.result;
    if (reason === 'Terminated' || reason === 'Interrupted') return undefined;
    return {
      outcome: outcomes[outcome],
      startedAtMs: Date.parse(startedAt),
      finishedAtMs: Date.parse(finishedAt),
      ...(archive && { archive: { path: archive.path, sizeBytes: archive.sizeBytes } }),
      ...(outcome !== 'Succeeded' && { error: message }),
      ...stored.details,
    };
  }
  const found = listArchives(destination).find(
    ({ class: kind, summary }) =>
      kind === 'complete' &&
      summary !== undefined &&
      summary.series === null &&
      Date.parse(summary.startedAt) >= startedAtMs,
  );
  if (!found) return undefined;
  return {
    outcome: 'success',
    startedAtMs,
    finishedAtMs: Math.min(nowMs, found.modifiedAt.getTime()),
    archive: { path: found.path, sizeBytes: found.sizeBytes },
  };
}
