import { rmSync } from 'node:fs';
import path from 'node:path';
import { ArchiveError, lockDestination, type PruneOutcome, pruneUnderLock } from '../archive/index.ts';
import type { Clock } from '../clock/index.ts';
import { type Logger, printable } from '../log/index.ts';
import type { Settings } from './environment.ts';
import { holdRun, type ResultDetails, readResult, resultFileOf } from './run-files.ts';
import { runScript, type ScriptOutcome } from './script.ts';
import type { RunReport } from './transitions.ts';
import type { Environment } from './variables.ts';

/** Another `km-backup` may hold the destination for a moment when retention starts. */
const PRUNE_LOCK_WAIT_MS = 60_000;

export interface RunnerOptions {
  readonly settings: Settings;
  /** Path of the built-in program. */
  readonly program: string;
  readonly env: Environment;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * One run and, after a success, retention. Needs no directory but the destination. Never rejects: a failure is a
 * report.
 */
export async function runOnce(options: RunnerOptions, signal: AbortSignal): Promise<RunReport> {
  const { clock, settings } = options;
  const startedAtMs = clock.now();
  const report = (rest: Omit<RunReport, 'startedAtMs' | 'finishedAtMs'>): RunReport => ({
    startedAtMs,
    finishedAtMs: clock.now(),
    ...rest,
  });
  try {
    using lock = holdRun(settings.destination);
    if (!lock)
      return report({
        outcome: 'skipped_lock',
        error: `a run that an earlier scheduler started is still going in ${settings.destination}`,
      });
    const outcome = await call(options, lock.descriptor, signal);
    const details: ResultDetails = settings.script === undefined ? takeResult(settings.destination) : {};
    if (outcome.kind === 'skipped') return report({ outcome: 'skipped_lock', error: outcome.error });
    if (outcome.kind === 'failed') return report({ outcome: 'failure', error: outcome.error, ...details });
    const archive = { path: outcome.path, sizeBytes: outcome.sizeBytes };
    if (outcome.incomplete) {
      const error = `${archive.path} was written, but ${details.warnings ?? 'some'} file(s) are not captured faithfully`;
      return report({ outcome: 'incomplete', archive, error, ...details });
    }
    return report({ outcome: 'success', archive, ...details, ...(await prune(options, archive.path)) });
  } catch (error) {
    return report({ outcome: 'failure', error: messageOf(error) });
  }
}

async function call(
  { settings, program, env, logger }: RunnerOptions,
  lock: number,
  signal: AbortSignal,
): Promise<ScriptOutcome> {
  const { source, destination, script } = settings;
  if (script === undefined) rmSync(resultFileOf(destination), { force: true });
  else {
    const locked = await whoHolds(destination);
    if (locked !== undefined) return { kind: 'skipped', error: locked };
  }
  return runScript({
    command: script ?? program,
    args: script === undefined ? ['create', '--result-file', resultFileOf(destination)] : [],
    env: { ...env, KM_BACKUP_SOURCE: source, KM_BACKUP_DEST: destination },
    signal,
    onLine: (line) => logger[line.startsWith('warning: ') ? 'warn' : 'info']({ line }, 'script'),
    lock,
  });
}

/** A script may call `km-backup` itself, so the lock is only tried, not held. */
async function whoHolds(destination: string): Promise<string | undefined> {
  try {
    (await lockDestination(destination, 0, undefined)).release();
    return undefined;
  } catch (error) {
    if (error instanceof ArchiveError && error.reason === 'Locked') return error.message;
    throw error;
  }
}

/** What the built-in program reports beyond the contract of a script; empty if it could not write it. */
function takeResult(destination: string): ResultDetails {
  const result = readResult(destination);
  rmSync(resultFileOf(destination), { force: true });
  return result?.details ?? {};
}

async function prune(
  { settings, clock, logger }: RunnerOptions,
  made: string,
): Promise<Pick<RunReport, 'deleted' | 'present'>> {
  const { destination, retentionLimit } = settings;
  try {
    using _lock = await lockDestination(destination, PRUNE_LOCK_WAIT_MS, undefined);
    const { pruned, failures, present } = pruneUnderLock({
      destination,
      series: undefined,
      policy: { limit: retentionLimit },
      now: new Date(clock.now()),
      dryRun: false,
      keep: path.dirname(made) === destination ? path.basename(made) : undefined,
    });
    for (const failure of failures)
      logger.warn({ failure: printable(failure) }, 'an archive could not be removed');
    return { deleted: pruned.length, present: presentOf(present) };
  } catch (error) {
    logger.warn(
      { error: messageOf(error) },
      'retention failed; it is tried again after the next successful run',
    );
    return {};
  }
}

function presentOf({ count, bytes, suspicious }: PruneOutcome['present']): NonNullable<RunReport['present']> {
  return { count, bytes, suspicious: suspicious.length };
}

function messageOf(error: unknown): string {
  return printable(error instanceof Error ? error.message : String(error), 1000);
}
