import { codeOf } from '../posix/system-error.ts';

/** Exit status of `km-backup`; docs/troubleshooting.md prints this table. */
export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  /** The archive is written and verified, but some files are not captured faithfully. */
  incomplete: 3,
  /** Another run holds the destination's lock. */
  locked: 4,
  /** An archive does not match its manifest, or is damaged. */
  verification: 5,
  interrupted: 130,
  terminated: 143,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** CamelCase reasons, for machines; each has one exit code. */
const exitCodeOf = {
  Usage: ExitCode.usage,
  SourceMissing: ExitCode.failure,
  SourceEmpty: ExitCode.failure,
  DestinationUnusable: ExitCode.failure,
  NoSpace: ExitCode.failure,
  WriteFailed: ExitCode.failure,
  OutputExists: ExitCode.failure,
  ArchiveMissing: ExitCode.failure,
  EntryMissing: ExitCode.failure,
  RestoreRefused: ExitCode.failure,
  RestoreFailed: ExitCode.failure,
  Internal: ExitCode.failure,
  Locked: ExitCode.locked,
  ArchiveCorrupt: ExitCode.verification,
  ManifestInvalid: ExitCode.verification,
  Terminated: ExitCode.terminated,
  Interrupted: ExitCode.interrupted,
} as const satisfies Record<string, ExitCode>;
export type Reason = keyof typeof exitCodeOf;

/** An expected failure: `message` says what, where, why and what to do. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }

  get exitCode(): ExitCode {
    return exitCodeOf[this.reason];
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
