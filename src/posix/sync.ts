import fs from 'node:fs';
import { call } from './libc.ts';
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

function withDirectory(path: RawPath, use: (fd: number) => void): void {
  const fd = fs.openSync(nodePath(path), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    use(fd);
  } finally {
    fs.closeSync(fd);
  }
}
