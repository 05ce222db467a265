import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { classLetters } from '../api/archive-class.ts';
import type { FailureReason, RunReason } from '../api/reasons.ts';
import type { RunResult } from '../api/run-result.ts';
import {
  type ArchiveError,
  ExitCode,
  ensureDirectoryInVolume,
  isManagedName,
  lockDestination,
  pruneUnderLock,
  type Run,
  SourceRoot,
  verifyArchive,
} from '../archive/index.ts';
import { printable } from '../log/index.ts';
import { FileLock } from '../posix/file-lock.ts';
import type { RetentionPolicy } from '../retention/index.ts';
import { runScript, type ScriptOutcome } from './script.ts';
import type { Environment } from './variables.ts';

/** Held by the script itself, so that it lasts if this process is killed. */
const SCRIPT_LOCK_NAME = '.km-backup-script.lock';

export interface ScriptRunOptions {
  readonly script: string;
  readonly source: string;
  /** As in RunOptions: directories that must contain source and destination. */
  readonly sourceVolume?: string | undefined;
  readonly destination: string;
  readonly destinationVolume?: string | undefined;
  readonly series: string | undefined;
  readonly retention: RetentionPolicy | undefined;
  readonly lockWaitMs: number;
  readonly env: Environment;
  readonly signal: AbortSignal;
  readonly now: () => Date;
  /** Each line of the script's standard error. */
  readonly onLine: (line: string) => void;
}

/**
 * Runs a script instead of the built-in program and verifies the archive that it names with its last line
 * `Backup written to PATH`. That must be a managed archive in the destination. It has no manifest to compare its
 * content with, and the result says so. Expected failures come back as a result.
 */
export async function runScriptBackup(options: ScriptRunOptions): Promise<Run> {
  const result = resultMaker(options.now);
  const failed = (reason: FailureReason, message: string): Run => ({
    exitCode: ExitCode.failure,
    result: result('Failed', reason, message),
  });
  try {
    checkVolumes(options);
    const outcome = await callScript(options);
    if (outcome.kind === 'skipped')
      return { exitCode: ExitCode.locked, result: result('Skipped', 'Locked', outcome.error) };
    if (outcome.kind === 'failed') return failed('ScriptFailed', outcome.error);

    const { destination, signal } = options;
    const name = path.basename(outcome.path);
    if (path.dirname(outcome.path) !== path.resolve(destination) || !isManagedName(name)) {
      return failed(
        'ArchiveNotManaged',
        `The script wrote ${printable(outcome.path)}. Retention finds only km-backup-*.tgz, .tar.gz or .tar.zst in ${destination}: write it there under such a name.`,
      );
    }
    const verified = await verifyArchive(outcome.path, { deep: false, signal });
    if (!verified.sound) {
      return failed('ArchiveCorrupt', `The script wrote ${name}, which is damaged: ${verified.problem}`);
    }
    const { incomplete } = outcome;
    const archive = await describeArchive(outcome, verified.entries);
    const { notes, ...pruning } = await prune(options, archive);
    const what = `${name} was written by the script and reads without error. It has no manifest to compare its content with.`;
    const made = result(
      incomplete ? 'Incomplete' : 'Succeeded',
      incomplete ? 'FilesNotCaptured' : 'ScriptArchiveSound',
      [what, ...notes].join(' '),
      { archive, ...pruning, ...(notes.length > 0 && { notes }) },
    );
    return { exitCode: incomplete ? ExitCode.incomplete : ExitCode.ok, result: made };
  } catch (error) {
    const { reason, message, exitCode } = error as ArchiveError;
    if (reason === 'Locked') return { exitCode, result: result('Skipped', reason, message) };
    return failed(reason ?? 'Internal', message ?? String(error));
  }
}

/** A script cannot be kept inside the volumes, but symbolic links must not send it out of them. */
function checkVolumes({ source, sourceVolume, destination, destinationVolume }: ScriptRunOptions): void {
  if (sourceVolume !== undefined) new SourceRoot(source, sourceVolume)[Symbol.dispose]();
  if (destinationVolume !== undefined) ensureDirectoryInVolume(destination, destinationVolume);
}

function resultMaker(now: () => Date) {
  const startedAt = now().toISOString();
  return (
    outcome: RunResult['outcome'],
    reason: RunReason,
    message: string,
    more: Partial<RunResult> = {},
  ): RunResult => ({
    version: 1,
    outcome,
    reason,
    message,
    startedAt,
    finishedAt: now().toISOString(),
    warnings: { count: 0, samples: [] },
    pruned: { count: 0, failed: 0, names: [] },
    present: { count: 0, bytes: 0, names: [] },
    ...more,
  });
}

async function callScript(options: ScriptRunOptions): Promise<ScriptOutcome> {
  const { script, source, destination, lockWaitMs, signal } = options;
  // Only tried, not held: a script may call km-backup itself.
  (await lockDestination(destination, lockWaitMs, signal)).release();
  const attempt = await FileLock.lock(path.join(destination, SCRIPT_LOCK_NAME), {
    waitMs: lockWaitMs,
    signal,
  });
  if (!attempt.acquired) return { kind: 'skipped', error: `a script is still running for ${destination}` };
  using lock = attempt.lock;
  return await runScript({
    command: script,
    args: [],
    env: { ...options.env, KM_BACKUP_SOURCE: source, KM_BACKUP_DEST: destination },
    signal,
    onLine: options.onLine,
    lock: lock.descriptor,
  });
}

async function describeArchive(
  { path: file, sizeBytes }: { path: string; sizeBytes: number },
  entries: number,
): Promise<NonNullable<RunResult['archive']>> {
  return {
    name: path.basename(file),
    path: file,
    sizeBytes,
    sha256: await sha256Of(file),
    manifestSha256: '',
    entries,
    files: 0,
    sourceBytes: 0,
    reusedBytes: 0,
  };
}

/** The archive is in place: an error now is a note about retention, not a failed backup. */
async function prune(
  options: ScriptRunOptions,
  { name: keep, sizeBytes }: NonNullable<RunResult['archive']>,
): Promise<Pick<RunResult, 'pruned' | 'present'> & { readonly notes: string[] }> {
  const { destination, series, retention: policy, lockWaitMs, signal, now } = options;
  try {
    using _lock = await lockDestination(destination, lockWaitMs, signal);
    const { pruned, failures, present } = pruneUnderLock({
      destination,
      series,
      policy,
      now: now(),
      dryRun: false,
      keep,
    });
    return {
      pruned: { count: pruned.length, failed: failures.length, names: pruned },
      present: { ...present, classes: classLetters(present.classes) },
      notes:
        failures.length > 0 ? [`Could not remove ${failures.length} old archive(s): ${failures[0]}.`] : [],
    };
  } catch (error) {
    const message = printable(error instanceof Error ? error.message : String(error), 1000);
    return {
      pruned: { count: 0, failed: 0, names: [] },
      // Fewer names than archives: absence from this report proves nothing.
      present: { count: 1, bytes: sizeBytes, names: [], classes: '' },
      notes: [`Old archives could not be looked through, and the next run tries again: ${message}`],
    };
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
