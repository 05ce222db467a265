import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { FailureReason, RunReason } from '../api/reasons.ts';
import type { RunResult } from '../api/run-result.ts';
import {
  type ArchiveError,
  ExitCode,
  isManagedName,
  lockDestination,
  pruneUnderLock,
  type Run,
  verifyArchive,
} from '../archive/index.ts';
import { printable } from '../log/index.ts';
import type { RetentionPolicy } from '../retention/index.ts';
import { runScript } from './script.ts';
import type { Environment } from './variables.ts';

export interface ScriptRunOptions {
  readonly script: string;
  readonly source: string;
  readonly destination: string;
  readonly series: string | undefined;
  readonly retention: RetentionPolicy | undefined;
  readonly lockWaitMs: number;
  readonly env: Environment;
  readonly signal: AbortSignal;
  readonly now: () => Date;
  /** Each line of the script's standard error. */
  readonly onLine: (line: string) => void;
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/**
 * One run of a script in place of the built-in program: by the playbook's contract its last line
 * `Backup written to PATH` names the archive. The archive must be a managed one in the destination and read
 * as an archive from end to end; there is no manifest to hold it against, and the result says so.
 */
export async function runScriptBackup(options: ScriptRunOptions): Promise<Run> {
  const { script, source, destination, series, signal, now } = options;
  const startedAt = now().toISOString();
  const told = (
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
  const failed = (reason: FailureReason, message: string): Run => ({
    exitCode: ExitCode.failure,
    result: told('Failed', reason, message),
  });
  try {
    // Only asked for, not held: a script may call km-backup itself.
    (await lockDestination(destination, options.lockWaitMs, signal)).release();
    const outcome = await runScript({
      command: script,
      args: [],
      env: { ...options.env, KM_BACKUP_SOURCE: source, KM_BACKUP_DEST: destination },
      signal,
      onLine: options.onLine,
    });
    if (outcome.kind === 'skipped') {
      return { exitCode: ExitCode.locked, result: told('Skipped', 'Locked', outcome.error) };
    }
    if (outcome.kind === 'failed') return failed('ScriptFailed', outcome.error);

    const name = path.basename(outcome.path);
    if (path.dirname(outcome.path) !== path.resolve(destination) || !isManagedName(name)) {
      const shown = printable(outcome.path);
      return failed(
        'ArchiveNotManaged',
        `The script wrote ${shown}, which is no km-backup-*.tgz, .tar.gz or .tar.zst in ${destination}: retention would never find it.`,
      );
    }
    const verified = await verifyArchive(outcome.path, { deep: false, signal });
    if (!verified.sound) {
      return failed('ArchiveCorrupt', `The script wrote ${name}, which is damaged: ${verified.problem}`);
    }
    using _lock = await lockDestination(destination, options.lockWaitMs, signal);
    const policy = options.retention;
    const pruning = pruneUnderLock({ destination, series, policy, now: now(), dryRun: false, keep: name });
    const result = told(
      outcome.incomplete ? 'Incomplete' : 'Succeeded',
      outcome.incomplete ? 'FilesNotCaptured' : 'ScriptArchiveSound',
      `${name} was written by the script and reads without error; having no manifest, its content was compared with nothing.`,
      {
        archive: {
          name,
          path: outcome.path,
          sizeBytes: outcome.sizeBytes,
          sha256: await sha256Of(outcome.path),
          manifestSha256: '',
          entries: verified.entries,
          files: 0,
          sourceBytes: 0,
          reusedBytes: 0,
        },
        pruned: { count: pruning.pruned.length, failed: pruning.failures.length, names: pruning.pruned },
        present: pruning.present,
      },
    );
    return { exitCode: outcome.incomplete ? ExitCode.incomplete : ExitCode.ok, result };
  } catch (error) {
    const { reason, message, exitCode } = error as ArchiveError;
    if (reason === 'Locked') return { exitCode, result: told('Skipped', reason, message) };
    return failed(reason ?? 'Internal', message ?? String(error));
  }
}
