import path from 'node:path';
import { classLetters } from '../../api/archive-class.ts';
import type { RunResult } from '../../api/run-result.ts';
import { isSystemError } from '../../posix/system-error.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import { sweep } from '../destination/directory.ts';
import { lockDestination } from '../destination/lock.ts';
import { type PruneOutcome, pruneUnderLock } from '../destination/prune.ts';
import { approveArchive } from '../destination/suspicions.ts';
import { ArchiveError, ExitCode, writeError } from '../errors.ts';
import { isManagedName } from '../format/names.ts';
import type { Suspicion } from '../format/suspicion.ts';
import { type Created, type CreateOptions, createArchive } from './create.ts';
import { ensureDirectoryInVolume } from './volume.ts';

export interface RunOptions extends CreateOptions {
  /** Directory that must contain the destination. A symlink that leads out of it is refused. */
  readonly destinationVolume?: string | undefined;
  /** 0: refuse at once where another run holds the destination. */
  readonly lockWaitMs: number;
  /** Undefined: no archive is removed. */
  readonly retention: RetentionPolicy | undefined;
  /** Names of archives that a person approved: their suspicion ends before retention is applied. */
  readonly approve?: readonly string[] | undefined;
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
    const approvals = approve(options);
    const created = await createArchive(options);
    return succeeded(base, options.now(), created, approvals, prune(options, created));
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

/** Approves what it can. @returns Notes on the others. */
function approve({ destination, approve: names = [], now }: RunOptions): string[] {
  return names.filter(isManagedName).flatMap((name) => {
    try {
      approveArchive(path.join(destination, name), now());
      return [];
    } catch (error) {
      return [`${name} could not be approved: ${asArchiveError(error).message}`];
    }
  });
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
      present: { count: 1, bytes: summary.sizeBytes, names: [], classes: [], suspicious: [] },
      problem: `Old archives could not be looked through, and the next run tries again: ${message}`,
    };
  }
}

function succeeded(
  base: Pick<RunResult, 'version' | 'startedAt'>,
  finishedAt: Date,
  { name, path: file, manifestSha256, summary, suspicion, notes: ofArchive }: Created,
  approvals: readonly string[],
  { pruned, present, failures, problem }: Pruning,
): Run {
  const { warnings } = summary;
  const incomplete = warnings.count > 0;
  const notes = [...suspicionNotes(name, suspicion), ...ofArchive, ...approvals];
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
      ...(suspicion && {
        suspicious: {
          comparedWith: suspicion.comparedWith,
          rules: suspicion.reasons.map(({ rule }) => rule),
          message: suspicion.reasons.map(({ message }) => message).join(' '),
        },
      }),
      ...(notes.length > 0 && { notes }),
    },
  };
}

function suspicionNotes(name: string, suspicion: Suspicion | undefined): string[] {
  if (!suspicion) return [];
  const why = suspicion.reasons.map(({ message }) => message).join(' ');
  return [`${name} is suspicious. ${why} It is kept, and no archive is removed until somebody approves it.`];
}

function asArchiveError(error: unknown): ArchiveError {
  if (error instanceof ArchiveError) return error;
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ArchiveError('Internal', text, { cause: error });
}
