import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, call, cString } from './libc.ts';
import type { RawPath } from './system-error.ts';

const NANOSECONDS = 1_000_000_000n;

/** Sets access and modification time of the entry itself, in ns since the epoch. Symlinks are not followed. */
export function setTimes(path: RawPath, atimeNs: bigint, mtimeNs: bigint): void {
  call('utimensat', path, AT_FDCWD, cString(path), timespecs(atimeNs, mtimeNs), AT_SYMLINK_NOFOLLOW);
}

/** As setTimes, for an open file. */
export function setTimesOf(fd: number, atimeNs: bigint, mtimeNs: bigint): void {
  call('futimens', undefined, fd, timespecs(atimeNs, mtimeNs));
}

/** Shared by all calls, because they are synchronous. */
const pair = new BigInt64Array(4);
const pairBytes = new Uint8Array(pair.buffer);

function timespecs(atimeNs: bigint, mtimeNs: bigint): Uint8Array {
  put(0, atimeNs);
  put(2, mtimeNs);
  return pairBytes;
}

function put(at: number, time: bigint): void {
  // tv_nsec counts forward from tv_sec, also before 1970, so round down instead of toward zero.
  const rest = ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  pair[at] = (time - rest) / NANOSECONDS;
  pair[at + 1] = rest;
}
