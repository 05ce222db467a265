import { closeSync, constants, readSync } from 'node:fs';
import { openBeneath } from '../../posix/beneath.ts';
import { dataExtents } from '../../posix/extents.ts';
import { type FileStatus, statusOfOpen } from '../../posix/status.ts';
import { codeOf } from '../../posix/system-error.ts';
import type { ByteString } from '../format/byte-string.ts';
import type { Entry, Extent } from '../format/entry.ts';
import { encodeSparseMap } from '../format/tar-header.ts';

/** A file is read this often before it is stored as inconsistent. */
export const READ_ATTEMPTS = 4;

/** Smaller holes are stored as zeros, which cost almost nothing once compressed. */
const WORTHWHILE_HOLE = 64 * 1024;

const baseFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
let noAccessTime = constants.O_NOATIME;

/**
 * Opens a file of the source. Follows no symlink, not even one that replaced a directory on the way; does not wait on
 * a FIFO that took the file's place; leaves the access time alone where that is allowed.
 * @param root descriptor of the source directory, which all threads share
 */
export function openSource(root: number, path: ByteString): number {
  try {
    return openBeneath(root, path, baseFlags | noAccessTime);
  } catch (error) {
    if (codeOf(error) !== 'EPERM' || noAccessTime === 0) throw error;
    // Only a file's owner may use O_NOATIME, and most files of a volume have the same owner.
    noAccessTime = 0;
    return openBeneath(root, path, baseFlags);
  }
}

export function withSource<T>(root: number, path: ByteString, use: (fd: number) => T): T {
  const fd = openSource(root, path);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Identifies an inode, even if its number was reused later. Where the file system keeps no birth times, a changed
 * inode also counts as a different one.
 */
export function identityOf({ device, ino, born, ctime }: FileStatus): string {
  return `${device}:${ino}:${born ?? ctime}`;
}

/** Current status of the open file; undefined if it is not a regular file. */
export function describeOpen(path: ByteString, fd: number): { entry: Entry; status: FileStatus } | undefined {
  const status = statusOfOpen(fd);
  if ((status.mode & constants.S_IFMT) !== constants.S_IFREG) return undefined;
  const { mode, uid, gid, size, mtime, ctime, ino } = status;
  return { status, entry: { path, type: 'file', mode: mode & 0o7777, uid, gid, size, mtime, ctime, ino } };
}

/** Whether content and metadata are still the same. */
export function unchanged(before: FileStatus, fd: number): boolean {
  const after = statusOfOpen(fd);
  return after.size === before.size && after.mtime === before.mtime && after.ctime === before.ctime;
}

/** The entry, with its extents if it is sparse. */
export function describeContent(entry: Entry, fd: number, blocks: number): Entry {
  const extents = sparseExtents(fd, entry.size, blocks);
  return extents ? { ...entry, extents } : entry;
}

/** The extents of a file with holes worth keeping; undefined for all others. */
function sparseExtents(fd: number, size: number, blocks: number): Extent[] | undefined {
  if (size - blocks * 512 < WORTHWHILE_HOLE) return undefined;
  const extents = dataExtents(fd, size).map(({ offset, length }) => [offset, length] as const);
  const data = extents.reduce((sum, [, length]) => sum + length, 0);
  return size - data < WORTHWHILE_HOLE ? undefined : extents;
}

/** Reads up to `length` bytes into `target`; returns how many there were. */
export function readInto(
  fd: number,
  target: Uint8Array,
  at: number,
  length: number,
  position: number,
): number {
  let done = 0;
  while (done < length) {
    const count = readSync(fd, target, at + done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/**
 * Reads a slice of a file's packed form: its content, or for a sparse file the map and then the extents. Where the
 * file became shorter, `target` keeps its bytes.
 * @param start offset of the slice in the packed form
 * @returns false if bytes were missing
 */
export function readPacked(
  fd: number,
  entry: Entry,
  target: Uint8Array,
  at: number,
  start: number,
  length: number,
): boolean {
  if (!entry.extents) {
    const wanted = Math.max(0, Math.min(length, entry.size - start));
    return readInto(fd, target, at, wanted, start) === wanted;
  }
  const map = encodeSparseMap(entry.extents, entry.size);
  let complete = true;
  let position = 0;
  const end = start + length;
  const take = (sliceLength: number, copy: (from: number, count: number, to: number) => boolean) => {
    const from = Math.max(start, position);
    const to = Math.min(end, position + sliceLength);
    if (to > from) complete = copy(from - position, to - from, at + from - start) && complete;
    position += sliceLength;
  };
  take(map.length, (from, count, to) => {
    target.set(map.subarray(from, from + count), to);
    return true;
  });
  for (const [offset, extentLength] of entry.extents) {
    take(extentLength, (from, count, to) => readInto(fd, target, to, count, offset + from) === count);
  }
  return complete;
}
