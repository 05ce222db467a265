import fs from 'node:fs';
import { tryCall } from './libc.ts';
import { SystemError } from './system-error.ts';

/** Errors that mean "not between these two files" rather than "the copy failed". */
const fallbackCodes = new Set(['ENOSYS', 'EXDEV', 'EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'EPERM', 'ETXTBSY']);
const BLOCK = 1024 * 1024;

/**
 * Copies bytes between open files inside the kernel (as a reflink if the file system supports it), or else by
 * read and write.
 *
 * @returns Bytes copied: fewer than `length` only at the end of the source.
 */
export function copyRange(
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number {
  let copied = 0;
  while (copied < length) {
    const answer = tryCall(
      'copy_file_range',
      from,
      offset(fromOffset + copied),
      to,
      offset(toOffset + copied),
      Math.min(length - copied, 1024 * BLOCK),
      0,
    );
    if ('errno' in answer) {
      const error = new SystemError('copy_file_range', answer.errno);
      if (!fallbackCodes.has(error.code)) throw error;
      break;
    }
    // Some file systems (procfs, FUSE) answer 0 although there is more, so try to read.
    if (answer.result === 0) break;
    copied += answer.result;
  }
  return copied < length
    ? copied + copyByReading(from, fromOffset + copied, to, toOffset + copied, length - copied)
    : copied;
}

function copyByReading(
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number {
  const block = Buffer.allocUnsafe(Math.min(length, BLOCK));
  let copied = 0;
  while (copied < length) {
    const read = fs.readSync(from, block, 0, Math.min(block.length, length - copied), fromOffset + copied);
    if (read === 0) break;
    let written = 0;
    while (written < read)
      written += fs.writeSync(to, block, written, read - written, toOffset + copied + written);
    copied += read;
  }
  return copied;
}

function offset(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(value));
  return buffer;
}
