import { AT_FDCWD, cString, tryCall } from './libc.ts';
import { type RawPath, SystemError } from './system-error.ts';

const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const unsupportedCodes = new Set(['ENOSYS', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP']);

/** `unsupported`: the kernel or this file system lacks the flag, and nothing was changed. */
export type RenameOutcome = 'done' | 'unsupported';

/**
 * Renames atomically, without replacing anything.
 *
 * @throws EEXIST when `to` exists.
 */
export function renameNoReplace(from: RawPath, to: RawPath): RenameOutcome {
  return rename(from, to, RENAME_NOREPLACE);
}

/** Swaps two existing names of one file system atomically: neither is ever missing. */
export function renameExchange(a: RawPath, b: RawPath): RenameOutcome {
  return rename(a, b, RENAME_EXCHANGE);
}

function rename(from: RawPath, to: RawPath, flag: number): RenameOutcome {
  const answer = tryCall('renameat2', AT_FDCWD, cString(from), AT_FDCWD, cString(to), flag);
  if ('result' in answer) return 'done';
  const error = new SystemError('renameat2', answer.errno, from);
  // EINVAL also means "a directory into itself", which the caller's plain rename then reports.
  if (unsupportedCodes.has(error.code)) return 'unsupported';
  throw error;
}
