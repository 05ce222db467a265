import fs from 'node:fs';
import { callInBackground, tryCall } from './libc.ts';
import { nodePath } from './node-path.ts';
import { codeOf, type RawPath } from './system-error.ts';

/**
 * Makes the renames, creations and removals in a directory durable. Some file systems (FUSE, SMB, 9p) cannot
 * sync a directory and answer EINVAL or ENOTSUP: there is nothing more to be done there, so it is not an error.
 */
export function syncDirectory(path: RawPath): void {
  const fd = openDirectory(path);
  try {
    fs.fsyncSync(fd);
  } catch (error) {
    if (!cannotSync.has(codeOf(error) ?? '')) throw error;
  } finally {
    fs.closeSync(fd);
  }
}

const cannotSync: ReadonlySet<string> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP']);

/**
 * Makes everything written so far to the file system that holds `path` (a directory) durable.
 *
 * @throws EIO when a write was lost.
 */
export async function syncFileSystem(path: RawPath): Promise<void> {
  using fileSystem = new OpenFileSystem(path);
  await fileSystem.sync();
}

/** A file system that is held open: the kernel reports each lost write once, to who had it open then. */
export class OpenFileSystem implements Disposable {
  readonly #path: RawPath;
  readonly #fd: number;

  constructor(path: RawPath) {
    this.#path = path;
    this.#fd = openDirectory(path);
  }

  /** @throws EIO when a write was lost since it was opened, or since the last call. */
  async sync(): Promise<void> {
    await callInBackground('syncfs', this.#path, this.#fd);
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#fd);
  }
}

const SYNC_FILE_RANGE_WRITE = 2;

/**
 * Starts writing a part of an open file to its device, so that the fsync at the end has little left to do.
 * Only a hint: errors are ignored here, because fsync reports them.
 */
export function startWriting(fd: number, offset: number, length: number): void {
  tryCall('sync_file_range', fd, offset, length, SYNC_FILE_RANGE_WRITE);
}

function openDirectory(path: RawPath): number {
  return fs.openSync(nodePath(path), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
}
