import { type Stats, statSync } from 'node:fs';
import { RUN_REASONS } from '../../api/reasons.ts';
import { ArchiveError, type ExitCode, readError } from '../../archive/index.ts';
import { destinationOf, sourceOf, switchOf, variableWarnings } from '../../standalone/variables.ts';
import { warn } from './output.ts';

/** What the process passes to a subcommand. */
export interface CliContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGTERM and SIGINT, with an ArchiveError as its reason. */
  readonly signal: AbortSignal;
  /** Aborted once standard output cannot be written: a command that only prints may stop. */
  readonly outputLost?: AbortSignal;
  /** The exit status, unless the command throws. */
  exitCode: ExitCode;
}

export const SOURCE_HELP = 'directory to back up (default: $KM_BACKUP_SOURCE, else $KM_STATE_PATH)';
export const DESTINATION_HELP =
  'directory of the archives (default: $KM_BACKUP_DEST, else $KM_BACKUP_DEST_PATH)';

/**
 * The directory to back up.
 * @param flag undefined when the command has no such flag or it was not passed.
 * @throws {ArchiveError} Usage when neither flag nor variable names one.
 */
export function requiredSource({ env }: CliContext, flag: string | undefined): string {
  const source = flag ?? sourceOf(env);
  if (source) return source;
  throw new ArchiveError('Usage', 'The source is missing: pass --source, or set KM_BACKUP_SOURCE.');
}

/**
 * The directory of the archives.
 * @throws {ArchiveError} Usage when neither flag nor variable names one.
 */
export function requiredDestination({ env }: CliContext, flag: string | undefined): string {
  const destination = flag ?? destinationOf(env);
  if (destination) return destination;
  throw new ArchiveError('Usage', 'The destination is missing: pass --destination, or set KM_BACKUP_DEST.');
}

/**
 * Returns the directory if it exists.
 * @throws {ArchiveError} DestinationUnusable when it does not exist or is not a directory; ArchiveUnreadable when the
 *   system refuses to look.
 */
export function existingDirectory(directory: string): string {
  let stats: Stats | undefined;
  try {
    stats = statSync(directory, { throwIfNoEntry: false });
  } catch (error) {
    throw readError(error, directory);
  }
  if (stats?.isDirectory()) return directory;
  const what = stats ? 'is not a directory' : 'does not exist';
  throw new ArchiveError('DestinationUnusable', `${directory} ${what}. Is the volume mounted?`);
}

/** Warns of each `KM_BACKUP_*` variable that has no effect. */
export function warnOfVariables({ env }: CliContext): void {
  for (const warning of variableWarnings(env)) warn(warning);
}

/**
 * Whether the environment accepts a source without files.
 * @throws {ArchiveError} Usage when the variable is neither true nor false.
 */
export function allowEmptyOf({ env }: CliContext): boolean {
  const on = switchOf(env, 'allowEmpty');
  if (typeof on === 'boolean') return on;
  throw new ArchiveError('Usage', on.problem);
}

/** Adds what to do to messages that cannot say it themselves, because it depends on whether the reader sets flags or variables. */
export function withAdvice(message: string, reason: string, reader: 'shell' | 'environment'): string {
  if (reason !== 'SourceEmpty' && reason !== 'Locked') return message;
  return `${message} ${RUN_REASONS[reason][reader].replaceAll('`', '')}`;
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
