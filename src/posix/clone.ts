import fs from 'node:fs';
import { tryCall } from './libc.ts';
import { SystemError } from './system-error.ts';

/** linux/fs.h: _IOW(0x94, 9, int), the same on x64 and arm64. */
const FICLONE = 0x40049409;

/** Errors that mean "these two files cannot share blocks" rather than "the file system failed". */
const unsupported = new Set([
  'EOPNOTSUPP',
  'ENOTSUP',
  'EXDEV',
  'EINVAL',
  'ENOTTY',
  'ENOSYS',
  'EPERM',
  'ETXTBSY',
]);

/**
 * Makes an open file share all blocks of another one, so that no content is read or written.
 *
 * @param to Open for writing, and empty.
 */
export function cloneFile(from: number, to: number): 'done' | 'unsupported' {
  const answer = tryCall('ioctl', to, FICLONE, from);
  if ('result' in answer) return 'done';
  const error = new SystemError('ioctl FICLONE', answer.errno);
  if (unsupported.has(error.code)) return 'unsupported';
  throw error;
}

/** linux/magic.h: XFS, btrfs, bcachefs. */
const sharing: ReadonlySet<number> = new Set([0x58465342, 0x9123683e, 0xca451a4e]);

/** Whether files of the file system that holds a path may share blocks; XFS can be made without. */
export function mayShareBlocks(path: string): boolean {
  return sharing.has(fs.statfsSync(path).type >>> 0);
}
