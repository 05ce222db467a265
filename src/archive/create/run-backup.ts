import type { RunResult } from '../../api/run-result.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import { sweep } from '../destination/directory.ts';
import { lockDestination } from '../destination/lock.ts';
import { type PruneOutcome, pruneUnderLock } from '../destination/prune.ts';
import { ArchiveError, ExitCode } from '../errors.ts';
import { type Created, type CreateOptions, createArchive } from './create.ts';

export interface RunOptions extends CreateOptions {
  /** 0: refuse at once where another run holds the destination. */
  readonly lockWaitMs: number;
  /** Undefined: no archive is removed. */
  readonly retention: RetentionPolicy | undefined;
}

export interface Run {
  readonly result: RunResult;
  readonly exitCode: ExitCode;
}

/** One backup run: lock, create, prune after success only. Expected failures come back as a result. */
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
    using _lock = await lockDestination(options.destination, options.lockWaitMs, options.signal);
    sweep(options.destination);
    const created = await createArchive(options);
    const pruning = pruneUnderLock({
      destination: options.destination,
      series: options.series,
      policy: options.retention,
      now: options.now(),
      dryRun: false,
      keep: created.name,
      failpoint: options.failpoint,
    });
    return succeeded(base, options.now(), created, pruning);
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

function succeeded(
  base: Pick<RunResult, 'version' | 'startedAt'>,
  finishedAt: Date,
  { name, path: file, manifestSha256, summary, corrupt }: Created,
  { pruned, present, failures }: PruneOutcome,
): Run {
  const { warnings } = summary;
  const incomplete = warnings.count > 0;
  const notes = [
    corrupt
      ? ` ${corrupt.members} damaged piece(s) of ${corrupt.archive} were packed anew: check that archive and its volume.`
      : '',
    failures.length > 0 ? ` Could not remove ${failures.length} old archive(s): ${failures[0]}.` : '',
  ].join('');
  return {
    exitCode: incomplete ? ExitCode.incomplete : ExitCode.ok,
    result: {
      ...base,
      finishedAt: finishedAt.toISOString(),
      outcome: incomplete ? 'Incomplete' : 'Succeeded',
      reason: incomplete ? 'FilesNotCaptured' : 'ArchiveVerified',
      message: incomplete
        ? `${file} was written and verified, but ${warnings.count} file(s) are not captured faithfully: ${warnings.samples[0]}.${notes}`
        : `${file} was written and verified.${notes}`,
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
      present,
    },
  };
}

function asArchiveError(error: unknown): ArchiveError {
  if (error instanceof ArchiveError) return error;
  return new ArchiveError(
    'Internal',
    error instanceof Error ? (error.stack ?? error.message) : String(error),
    {
      cause: error,
    },
  );
}
