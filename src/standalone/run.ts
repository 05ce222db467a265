import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { RunResult } from '../api/run-result.ts';
import { ArchiveError, listArchives, lockDestination, pruneUnderLock } from '../archive/index.ts';
import { type Logger, printable } from '../log/index.ts';
import type { Environment, Settings } from './environment.ts';
import type { Clock } from './scheduler.ts';
import { runScript, type ScriptOutcome } from './script.ts';
import type { RunReport } from './transitions.ts';

/** A person's own `km-backup` may hold the destination for a moment when retention comes. */
const PRUNE_LOCK_WAIT_MS = 60_000;

export interface RunnerOptions {
  readonly settings: Settings;
  /** Path of the built-in program. */
  readonly program: string;
  readonly env: Environment;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the built-in program tells beyond the contract of a script; nothing where it could not write it. */
function readResult(file: string): Pick<RunReport, 'sourceBytes' | 'reusedBytes' | 'warnings' | 'present'> {
  try {
    const { archive, warnings, present } = RunResult.parse(JSON.parse(readFileSync(file, 'utf8')));
    return {
      warnings: warnings.count,
      ...(archive && {
        sourceBytes: archive.sourceBytes,
        reusedBytes: archive.reusedBytes,
        present: { count: present.count, bytes: present.bytes },
      }),
    };
  } catch {
    return {};
  }
}

/** A script does not know the lock; a `km-backup` it may call does. So it is only asked for, not held. */
async function isLocked(destination: string): Promise<string | undefined> {
  try {
    (await lockDestination(destination, 0, undefined)).release();
    return undefined;
  } catch (error) {
    if (error instanceof ArchiveError && error.reason === 'Locked') return error.message;
    throw error;
  }
}

async function call(
  { settings, program, env, logger }: RunnerOptions,
  resultFile: string,
  signal: AbortSignal,
): Promise<ScriptOutcome> {
  const { source, destination, script } = settings;
  if (script !== undefined) {
    const locked = await isLocked(destination);
    if (locked !== undefined) return { kind: 'skipped', error: locked };
  }
  return runScript({
    command: script ?? program,
    args: script === undefined ? ['create', '--result-file', resultFile] : [],
    env: { ...env, KM_BACKUP_SOURCE: source, KM_BACKUP_DEST: destination },
    signal,
    onLine: (line) => logger.info({ line }, 'script'),
  });
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
    return { deleted: pruned.length, present: { count: present.count, bytes: present.bytes } };
  } catch (error) {
    logger.warn({ err: error }, 'retention failed; it is tried again after the next success');
    return {};
  }
}

/** One run and, after a success, retention. Never rejects. */
export async function runOnce(options: RunnerOptions, signal: AbortSignal): Promise<RunReport> {
  const { clock } = options;
  const startedAtMs = clock.now();
  const report = (rest: Omit<RunReport, 'startedAtMs' | 'finishedAtMs'>): RunReport => ({
    startedAtMs,
    finishedAtMs: clock.now(),
    ...rest,
  });
  const scratch = mkdtempSync(path.join(os.tmpdir(), 'km-backup-serve-'));
  try {
    const resultFile = path.join(scratch, 'result.json');
    const outcome = await call(options, resultFile, signal);
    if (outcome.kind === 'skipped') return report({ outcome: 'skipped_lock', error: outcome.error });
    const told = options.settings.script === undefined ? readResult(resultFile) : {};
    if (outcome.kind === 'failed') return report({ outcome: 'failure', error: outcome.error, ...told });
    const archive = { path: outcome.path, sizeBytes: outcome.sizeBytes };
    if (outcome.incomplete) {
      const error = `${archive.path} was written, but ${told.warnings ?? 'some'} file(s) are not captured faithfully`;
      return report({ outcome: 'incomplete', archive, error, ...told });
    }
    return report({ outcome: 'success', archive, ...told, ...(await prune(options, archive.path)) });
  } catch (error) {
    return report({ outcome: 'failure', error: error instanceof Error ? error.message : String(error) });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The archive that a run cut short after its last step left: complete, and named after its start. */
export function findFinished(destination: string, startedAtMs: number, nowMs: number): RunReport | undefined {
  const startedSecond = Math.floor(startedAtMs / 1000) * 1000;
  const found = listArchives(destination).find(
    (archive) => archive.class === 'complete' && archive.timestamp.getTime() >= startedSecond,
  );
  if (!found) return undefined;
  const archive = { path: found.path, sizeBytes: found.sizeBytes };
  return {
    outcome: 'success',
    startedAtMs,
    finishedAtMs: Math.min(nowMs, found.modifiedAt.getTime()),
    archive,
  };
}
