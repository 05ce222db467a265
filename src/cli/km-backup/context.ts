import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { ArchiveError, type ExitCode } from '../../archive/index.ts';
import { switchOf } from '../../standalone/variables.ts';

/** What a subcommand gets from the process that runs it. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGTERM and SIGINT, with an ArchiveError as its reason. */
  readonly signal: AbortSignal;
  /** The exit status, unless the command throws. */
  exitCode: ExitCode;
}

/** Each file of this folder that is a subcommand exports this as `command`. */
export type MakeCommand = (context: CliContext) => Command;

/**
 * A value from its flag or variable.
 *
 * @throws {ArchiveError} Usage when it is missing.
 */
export function required(value: string | undefined, flag: string, variable: string): string {
  if (value !== undefined && value !== '') return value;
  throw new ArchiveError('Usage', `${flag} is missing: pass it, or set ${variable}.`);
}

/**
 * Whether the environment accepts a source without files.
 *
 * @throws {ArchiveError} Usage when the variable is neither true nor false.
 */
export function allowEmptyOf(env: CliContext['env']): boolean {
  const on = switchOf(env, 'allowEmpty');
  if (typeof on === 'boolean') return on;
  throw new ArchiveError('Usage', on.problem);
}

export function existingDirectory(directory: string): string {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return directory;
  throw new ArchiveError('DestinationUnusable', `${directory} is not a directory. Is the volume mounted?`);
}

export function abortOnSignals(): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  const terminate = () =>
    controller.abort(
      new ArchiveError('Terminated', 'Stopped by SIGTERM; the unfinished archive was removed.'),
    );
  const interrupt = () =>
    controller.abort(
      new ArchiveError('Interrupted', 'Stopped by SIGINT; the unfinished archive was removed.'),
    );
  process.once('SIGTERM', terminate);
  process.once('SIGINT', interrupt);
  return {
    signal: controller.signal,
    stop: () => {
      process.removeListener('SIGTERM', terminate);
      process.removeListener('SIGINT', interrupt);
    },
  };
}
