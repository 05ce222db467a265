import { classLetters } from '../../api/archive-class.ts';
import type { RunResult } from '../../api/run-result.ts';
import { isSystemError } from '../../posix/system-error.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import { sweep } from '../destination/directory.ts';
import { lockDestination } from '../destination/lock.ts';
import { type PruneOutcome, pruneUnderLock } from '../destination/prune.ts';
import { ArchiveError, ExitCode, writeError } from '../errors.ts';
import { type Created, type CreateOptions, createArchive } from './create.ts';
import { ensureDirectoryInVolume } from './volume.ts';

export interface RunOptions extends CreateOptions {
  /** Directory that must contain the destination. A symlink that leads out of it is refused. */
  readonly destinationVolume?: string | undefined;
  /** 0: refuse at once where another run holds the destination. */
  readonly lockWaitMs: number;
  /** Undefined: no archive is removed. */
  readonly retention: RetentionPolicy | undefined;
}

export interface Run {
  readonly result: RunResult;
  readonly exitCode: ExitCode;
}

/** One backup run: lock, create, and prune only after success. Expected failures come back as a result. */
export async function runBackup(options: RunOptions): Promise<Run> {
  const startedAt = options.now().toISOString();
  const base = {
    version: 1 as const,
    startedAt,
    warnings: { count: 0, samples: [] },
    pruned: { count: 0, failed: 0, names: [] },
    present: { count: 0, bytes: 0, names: [] },
  };
  try {
    checkDestination(options);
    using _lock = await lockDestination(options.destination, options.lockWaitMs, options.signal);
    sweep(options.destination);
    const created = await createArchive(options);
    return succeeded(base, options.now(), created, prune(options, created));
  } catch (error) {
    const failure = asArchiveError(error);
    const skipped = failure.reason === 'Locked';
    return {
      exitCode: failure.exitCode,
      result: {
        ...base,
        finishedAt: options.now().toISOString(),
        outcome: skipped ? 'Skipped' : 'Failed',
        reason: failure.reason,
        message: failure.message,
      },
    };
  }
}

/** @throws {ArchiveError} DestinationUnusable when the destination lies outside its volume */
function checkDestination({ destination, destinationVolume }: RunOptions): void {
  if (destinationVolume !== undefined) ensureDirectoryInVolume(destination, destinationVolume);
}

type Pruning = Pick<PruneOutcome, 'pruned' | 'failures' | 'present'> & { readonly problem?: string };

/** The new archive is in place: an error now is a note about retention, not a failed backup. */
function prune(options: RunOptions, { name, summary }: Created): Pruning {
  try {
    return pruneUnderLock({
      destination: options.destination,
      series: options.series,
      policy: options.retention,
      now: options.now(),
      dryRun: false,
      keep: name,
      failpoint: options.failpoint,
    });
  } catch (error) {
    const { message } = asArchiveError(isSystemError(error) ? writeError(error, options.destination) : error);
    return {
      pruned: [],
      failures: [],
      // The report may name fewer archives than there are, so absence from it proves nothing.
      present: { count: 1, bytes: summary.sizeBytes, names: [], classes: [] },
      problem: `Old archives could not be looked through, and the next run tries again: ${message}`,
    };
  }
}

function succeeded(
  base: Pick<RunResult, 'version' | 'startedAt'>,
  finishedAt: Date,
  { name, path: file, manifestSha256, summary, notes: ofArchive }: Created,
  { pruned, present, failures, problem }: Pruning,
): Run {
  const { warnings } = summary;
  const incomplete = warnings.count > 0;
  const notes = [...ofArchive];
  if (failures.length > 0) notes.push(`Could not remove ${failures.length} old archive(s): ${failures[0]}.`);
  if (problem !== undefined) notes.push(problem);
  const what = incomplete
    ? `${file} was written and verified, but ${warnings.count} file(s) are not captured faithfully: ${warnings.samples[0]}.`
    : `${file} was written and verified.`;
  return {
    exitCode: incomplete ? ExitCode.incomplete : ExitCode.ok,
    result: {
      ...base,
      finishedAt: finishedAt.toISOString(),
      outcome: incomplete ? 'Incomplete' : 'Succeeded',
      reason: incomplete ? 'FilesNotCaptured' : 'ArchiveVerified',
      message: [what, ...notes].join(' '),
      archive: {
        name,
        path: file,
        sizeBytes: summary.sizeBytes,
        sha256: summary.sha256,
        manifestSha256,
        entries: summary.entries,
        files: summary.files,
        sourceBytes: summary.sourceBytes,
        reusedBytes: summary.reusedBytes,
      },
      warnings: { count: warnings.count, samples: [...warnings.samples] },
      pruned: { count: pruned.length, failed: failures.length, names: pruned },
      present: { ...present, classes: classLetters(present.classes) },
      ...(notes.length > 0 && { notes }),
    },
  };
}

function asArchiveError(error: unknown): ArchiveError {
  if (error instanceof ArchiveError) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ArchiveError('Internal', text, { cause: error });
}
