import { ExitCode, exitCodeOf, type FailureReason } from '../api/reasons.ts';
import { describeAccess } from '../posix/access.ts';
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

/**
 * A system error met while reading a file: it says nothing about the content, so the file is unreadable, never
 * corrupt. An ArchiveError is returned as it is.
 */
export function readError(error: unknown, file: string): ArchiveError {
  if (error instanceof ArchiveError) return error;
  const code = codeOf(error);
  if (code === undefined) return internalError(error, file);
  return new ArchiveError(
    'ArchiveUnreadable',
    `${file} cannot be read (${code}): ${readAdvice(code, file)}`,
    {
      cause: error,
    },
  );
}

const pathAdvice = {
  ELOOP: 'its path leads through too many symbolic links',
  ENOTDIR: 'part of its path is not a directory',
  ENOENT: 'its directory is gone, or takes no new files as /proc does',
} as const;

function readAdvice(code: string, file: string): string {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `${describeAccess(file)}. Run as a user who may read it.`;
    case 'ENOENT':
      return 'it does not exist.';
    case 'ELOOP':
    case 'ENOTDIR':
      return `${pathAdvice[code]}.`;
    case 'ENAMETOOLONG':
      return 'its path is too long.';
    case 'EIO':
      return 'the device or its file system failed. Its content may still be good: see the kernel log, then try again.';
    case 'ESTALE':
      return 'the file server no longer knows it. Mount the volume again.';
    default:
      return 'the system refused. Its content was not looked at.';
  }
}

function internalError(error: unknown, where: string): ArchiveError {
  return new ArchiveError('Internal', `${where}: ${error instanceof Error ? error.message : error}`, {
    cause: error,
  });
}

/** A system error met while writing to the destination. An ArchiveError is returned as it is. */
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
      return new ArchiveError(
        'DestinationUnusable',
        `${where}: cannot write (EROFS): the file system is mounted read-only. Check the mount.`,
        cause,
      );
    case 'EACCES':
    case 'EPERM': {
      // Root is refused for no other reason.
      const immutable = code === 'EPERM' ? ', and whether it is immutable (lsattr)' : '';
      return new ArchiveError(
        'DestinationUnusable',
        `${where}: cannot write (${code}): ${describeAccess(where)}. Check the mount and its permissions${immutable}.`,
        cause,
      );
    }
    case 'ENOTDIR':
    case 'ELOOP':
    case 'ENOENT':
      return new ArchiveError(
        'DestinationUnusable',
        `${where}: cannot write (${code}): ${pathAdvice[code]}.`,
        cause,
      );
    case undefined:
      return internalError(error, where);
    default:
      return new ArchiveError('WriteFailed', `${where}: writing failed (${code}).`, cause);
  }
}
