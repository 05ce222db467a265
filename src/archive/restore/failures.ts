import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { display, fromText } from '../format/byte-string.ts';

interface Places {
  readonly target: string;
  readonly state: string;
}

/** A path as people read it: nothing in it can break a line or move the cursor. */
/** A state directory that this process may not use. `uid`: its owner. */
export function stateOfAnother(state: string, uid: number, cause?: unknown): ArchiveError {
  return refused(
    `${shown(state)} holds what an earlier restore by user ${uid} left, and this process runs as user ${process.geteuid?.()}. Run as user ${uid}; or, if \`km-backup restore --status\` as that user shows nothing unfinished and no old state, remove the directory`,
    cause,
  );
}

export function shown(path: string): string {
  return display(fromText(path), 4096);
}

/** A refusal that another try would repeat, unless the system error behind it may pass. */
export function refused(what: string, cause?: unknown): ArchiveError {
  return refusal(PASSING.has(codeOf(cause) ?? '') ? 'TargetUnavailable' : 'RestoreRefused', what, cause);
}

/** A refusal for what may be over at the next try. */
export const refusedForNow = (what: string): ArchiveError => refusal('TargetUnavailable', what);

/** Errors of a file server, a device or a system that is short of something for a while. */
const PASSING: ReadonlySet<string> = new Set([
  'EAGAIN',
  'EBUSY',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'ESTALE',
  'ETIMEDOUT',
]);

function refusal(
  reason: 'RestoreRefused' | 'TargetUnavailable',
  what: string,
  cause?: unknown,
): ArchiveError {
  return new ArchiveError(
    reason,
    `refused: ${what}. Nothing was changed.`,
    cause === undefined ? undefined : { cause },
  );
}

/** What people read of any error. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A system error or a signal before anything in the target was changed. */
export function stagingError(error: unknown, { target }: Places): unknown {
  if (error instanceof ArchiveError && (error.reason === 'Terminated' || error.reason === 'Interrupted')) {
    const signal = error.reason === 'Terminated' ? 'SIGTERM' : 'SIGINT';
    return new ArchiveError(
      error.reason,
      `${shown(target)}: the restore was stopped by ${signal} before the swap. Nothing was changed, and what was staged was removed.`,
      { cause: error },
    );
  }
  if (!isSystemError(error)) return error;
  const code = codeOf(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new ArchiveError(
    full ? 'NoSpace' : 'RestoreFailed',
    `${shown(target)}: preparing the restored tree failed (${messageOf(error)}). Nothing was changed${full ? '; free space and run again' : ''}.`,
    { cause: error },
  );
}

/** A swap that could neither be completed nor undone. */
export function swapError(error: unknown, { target, state }: Places): ArchiveError {
  return new ArchiveError(
    'RestoreFailed',
    `${shown(target)}: the swap stopped half-way (${messageOf(error)}). Both trees are complete in ${shown(target)} and ${shown(state)}. Remove that obstacle, then run \`km-backup restore --resume ${shown(target)}\` to complete the swap, or --rollback to undo it.`,
    { cause: error },
  );
}
