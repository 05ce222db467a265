import fs from 'node:fs';
import { call, tryCall } from './libc.ts';
import { nodePath } from './node-path.ts';
import type { RawPath } from './system-error.ts';

/** Makes the renames, creations and removals in a directory durable. */
export function syncDirectory(path: RawPath): void {
  withDirectory(path, (fd) => fs.fsyncSync(fd));
}

/** Makes everything written so far to the file system that holds `path` (a directory) durable. Throws EIO where a write was lost. */
export function syncFileSystem(path: RawPath): void {
  withDirectory(path, (fd) => call('syncfs', path, fd));
}

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Has the kernel begin to write a part of an open file to its device, so that the fsync at the end finds
 * little left to do. A hint: file systems without it, and errors (which fsync tells), are passed over.
 */
export function startWriting(fd: number, offset: number, length: number): void {
  tryCall('sync_file_range', fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

function withDirectory(path: RawPath, use: (fd: number) => void): void {
  const fd = fs.openSync(nodePath(path), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    use(fd);
  } finally {
    fs.closeSync(fd);
  }
}
