import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, call, cString } from './libc.ts';
import type { RawPath } from './system-error.ts';

const NANOSECONDS = 1_000_000_000n;

/** Sets access and modification time of the entry itself (a symlink is not followed), in ns since the epoch. */
export function setTimes(path: RawPath, atimeNs: bigint, mtimeNs: bigint): void {
  call('utimensat', path, AT_FDCWD, cString(path), timespecs(atimeNs, mtimeNs), AT_SYMLINK_NOFOLLOW);
}

/** As setTimes, of an open file. */
export function setTimesOf(fd: number, atimeNs: bigint, mtimeNs: bigint): void {
  call('futimens', undefined, fd, timespecs(atimeNs, mtimeNs));
}

function timespecs(...times: readonly bigint[]): Buffer {
  const buffer = Buffer.alloc(16 * times.length);
  times.forEach((time, index) => {
    // tv_nsec counts forward from tv_sec, also before 1970: floor, not truncation.
    const rest = ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
    buffer.writeBigInt64LE((time - rest) / NANOSECONDS, 16 * index);
    buffer.writeBigInt64LE(rest, 16 * index + 8);
  });
  return buffer;
}
