import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError, readError } from '../errors.ts';

/**
 * Opens an archive or a manifest for reading. Never waits, as opening a FIFO would.
 * @throws {ArchiveError} ArchiveUnreadable when the system refuses, or when it is not a regular file.
 */
export function openFile(file: string): number {
  const fd = openFileIfPresent(file);
  if (fd === undefined) throw new ArchiveError('ArchiveMissing', `${file} does not exist.`);
  return fd;
}

/** Like openFile, but returns undefined if the file does not exist. */
export function openFileIfPresent(file: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw readError(error, file);
  }
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new ArchiveError('ArchiveUnreadable', `${file} is not a regular file, so it was not read.`);
}
