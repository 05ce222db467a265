import { ExitCode, exitCodeOf, type FailureReason } from '../api/reasons.ts';
import { codeOf } from '../posix/system-error.ts';

export { ExitCode };
export type Reason = FailureReason;

/** An expected failure: `message` says what, where, why and what to do. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }

  get exitCode(): ExitCode {
    return exitCodeOf(this.reason);
  }
}

/** A system error met while writing to the destination, in words that tell what to do. */
export function writeError(error: unknown, where: string): ArchiveError {
  if (error instanceof ArchiveError) return error;
  const code = codeOf(error);
  const cause = { cause: error };
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new ArchiveError(
        'NoSpace',
        `${where}: no space left (${code}). No archive was removed; free space or enlarge the volume.`,
        cause,
      );
    case 'EROFS':
    case 'EACCES':
    case 'EPERM':
      return new ArchiveError(
        'DestinationUnusable',
        `${where}: cannot write (${code}). Check the mount and its permissions.`,
        cause,
      );
    case undefined:
      return new ArchiveError(
        'Internal',
        `${where}: ${error instanceof Error ? error.message : error}`,
        cause,
      );
    default:
      return new ArchiveError('WriteFailed', `${where}: writing failed (${code}).`, cause);
  }
}
