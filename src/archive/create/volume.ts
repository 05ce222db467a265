import { closeSync, constants } from 'node:fs';
import path from 'node:path';
import { O_PATH, openBeneath, openDirectory } from '../../posix/beneath.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { ensureDirectory } from '../destination/directory.ts';
import { ArchiveError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';

/**
 * Opens a directory inside a volume. Symlinks on the way must not lead out of the volume.
 * @throws {ArchiveError} Usage when the path lies outside it
 * @throws {SystemError} EXDEV or ELOOP when a symlink leads out
 */
export function openInVolume(directory: string, volume: string, flags: number): number {
  const relative = path.relative(volume, directory);
  if (relative === '..' || relative.startsWith('../') || path.isAbsolute(relative)) {
    throw new ArchiveError('Usage', `${directory} does not lie in its volume ${volume}.`);
  }
  const fd = openDirectory(fromText(volume));
  try {
    return openBeneath(fd, fromText(relative), flags | constants.O_DIRECTORY, 'inside');
  } finally {
    closeSync(fd);
  }
}

/**
 * Makes a directory in a volume, with its parents. A symlink must not lead out of the volume: archives would be written
 * into the container and lost with it.
 * @throws {ArchiveError} DestinationUnusable
 */
export function ensureDirectoryInVolume(directory: string, volume: string): void {
  let existing = directory;
  while (!isInVolume(existing, volume) && existing !== volume) existing = path.dirname(existing);
  ensureDirectory(directory);
  if (!isInVolume(directory, volume)) throw leadsOut(directory, volume, 'ENOENT');
}

/** False if the directory does not exist. */
function isInVolume(directory: string, volume: string): boolean {
  try {
    closeSync(openInVolume(directory, volume, O_PATH));
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return false;
    if (code === 'EXDEV' || code === 'ELOOP') throw leadsOut(directory, volume, code);
    if (!isSystemError(error)) throw error;
    throw new ArchiveError('DestinationUnusable', `${directory} cannot be opened (${code}).`, {
      cause: error,
    });
  }
}

function leadsOut(directory: string, volume: string, code: string): ArchiveError {
  return new ArchiveError(
    'DestinationUnusable',
    `The destination ${directory} leads out of the volume ${volume} through a symbolic link (${code}). Name the folder itself.`,
  );
}
