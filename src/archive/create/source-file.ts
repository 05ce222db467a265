import { closeSync, constants, openSync, readSync } from 'node:fs';
import { dataExtents } from '../../posix/extents.ts';
import { type FileStatus, statusOfOpen } from '../../posix/status.ts';
import { codeOf } from '../../posix/system-error.ts';
import { getXattr, listXattrs } from '../../posix/xattr.ts';
import { type ByteString, toBuffer, toPath } from '../format/byte-string.ts';
import type { Entry, Extent } from '../format/entry.ts';
import { encodeSparseMap } from '../format/tar-header.ts';

/** A file is read this often before it is stored as inconsistent. */
export const READ_ATTEMPTS = 4;

/** Holes that save less than this are stored as zeros: compressed they cost next to nothing. */
const WORTHWHILE_HOLE = 64 * 1024;

const baseFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
let noAccessTime = constants.O_NOATIME;

/** Opens without following a symlink, without waiting on a FIFO that took the file's place, and leaving atime alone where allowed. */
export function openSource(location: ByteString): number {
  const path = toPath(location);
  try {
    return openSync(path, baseFlags | noAccessTime);
  } catch (error) {
    if (codeOf(error) !== 'EPERM' || noAccessTime === 0) throw error;
    // Not the owner: neither of this file nor, in a volume, of most others.
    noAccessTime = 0;
    return openSync(path, baseFlags);
  }
}

export function withSource<T>(location: ByteString, use: (fd: number) => T): T {
  const fd = openSource(location);
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/** What the open file is now. Undefined where it is no regular file (any more). */
export function describeOpen(path: ByteString, fd: number): { entry: Entry; status: FileStatus } | undefined {
  const status = statusOfOpen(fd);
  if ((status.mode & constants.S_IFMT) !== constants.S_IFREG) return undefined;
  const { mode, uid, gid, size, mtime, ctime, ino } = status;
  return { status, entry: { path, type: 'file', mode: mode & 0o7777, uid, gid, size, mtime, ctime, ino } };
}

/** Whether content or metadata changed between two looks at one open file. */
export function unchanged(before: FileStatus, fd: number): boolean {
  const after = statusOfOpen(fd);
  return after.size === before.size && after.mtime === before.mtime && after.ctime === before.ctime;
}

/** The extents of a file with holes worth keeping; undefined for all others. */
export function sparseExtents(fd: number, size: number, blocks: number): Extent[] | undefined {
  if (size - blocks * 512 < WORTHWHILE_HOLE) return undefined;
  const extents = dataExtents(fd, size).map(({ offset, length }) => [offset, length] as const);
  const data = extents.reduce((sum, [, length]) => sum + length, 0);
  return size - data < WORTHWHILE_HOLE ? undefined : extents;
}

/** Attributes that describe the node rather than the data: set anew by the system that restores. */
const notStored = new Set(['security.selinux', 'security.ima', 'security.evm']);

/** Extended attributes, ACLs among them (`system.posix_acl_*`), sorted by name; undefined where there are none. */
export function storedXattrs(location: ByteString): Record<string, string> | undefined {
  const path = toBuffer(location);
  const names = listXattrs(path).filter((name) => !notStored.has(name));
  if (names.length === 0) return undefined;
  const found: Record<string, string> = {};
  for (const name of names.sort()) {
    const value = getXattr(path, name);
    if (value) found[name] = value.toString('base64');
  }
  return found;
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
 * Reads a slice of what the tar holds of a file: its content, or for a sparse file the map and then the
 * extents. What the file no longer has is left zero. Returns false where bytes were missing.
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
    const got = readInto(fd, target, at, Math.max(0, Math.min(length, entry.size - start)), start);
    return got === Math.max(0, Math.min(length, entry.size - start));
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
