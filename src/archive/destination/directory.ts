import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import path from 'node:path';
import { renameNoReplace } from '../../posix/rename.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError, readError, writeError } from '../errors.ts';
import {
  type Compression,
  extensionOf,
  formatName,
  isManagedName,
  isManifestName,
  isSuspicionName,
  isTemporaryName,
  MANIFEST_SUFFIX,
  manifestNameOf,
  SUSPICION_SUFFIX,
} from '../format/names.ts';

/**
 * Makes the directory, and those above it, if they are missing. Never falls back to another place.
 * @throws {ArchiveError} DestinationUnusable or NoSpace when that fails.
 */
export function ensureDirectory(directory: string): void {
  try {
    makeDirectories(path.resolve(directory));
    if (!statSync(directory).isDirectory())
      throw new ArchiveError('DestinationUnusable', `${directory} is not a directory`);
  } catch (error) {
    throw writeError(error, directory);
  }
}

/** `mkdir -p`. Node's own recursive mkdir loops forever on file systems that refuse with ENOENT (/proc, some FUSE). */
function makeDirectories(directory: string): void {
  if (statSync(directory, { throwIfNoEntry: false })) return;
  const parent = path.dirname(directory);
  if (parent !== directory) makeDirectories(parent);
  try {
    mkdirSync(directory);
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
}

/** Removes what killed runs left behind. Call it only while holding the lock. */
export function sweep(directory: string): string[] {
  const swept: string[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const { name } = entry;
    const orphan =
      (isManifestName(name) && !existsSync(path.join(directory, name.slice(0, -MANIFEST_SUFFIX.length)))) ||
      (isSuspicionName(name) && !existsSync(path.join(directory, name.slice(0, -SUSPICION_SUFFIX.length))));
    if (!entry.isFile() || !(orphan || isTemporaryName(name))) continue;
    try {
      unlinkSync(path.join(directory, name));
      swept.push(name);
    } catch {
      // A leftover does no harm; the next run tries again.
    }
  }
  return swept;
}

/** A name for the run's second, or for the first later second whose name is free. */
export function freeName(directory: string, at: Date, compression: Compression): string {
  for (let time = at.getTime(); ; time += 1000) {
    const name = formatName(new Date(time), compression);
    const stem = name.slice(0, -extensionOf[compression].length);
    const taken = [...Object.values(extensionOf), '.tar.gz'].some(
      (extension) =>
        present(path.join(directory, stem + extension)) ||
        present(path.join(directory, manifestNameOf(stem + extension))),
    );
    if (!taken) return name;
  }
}

/**
 * Gives a file its final name, never replacing another file.
 * @throws {ArchiveError} OutputExists when the name is taken.
 */
export function publish(temporary: string, final: string): void {
  try {
    if (renameNoReplace(temporary, final) === 'done') return;
    linkSync(temporary, final);
    unlinkSync(temporary);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') {
      throw new ArchiveError('OutputExists', `${final} already exists and was not replaced.`, {
        cause: error,
      });
    }
    // The file system has neither renameat2 nor hard links. The lock keeps other runs out, so checking first is enough.
    if ((code === 'EPERM' || code === 'ENOTSUP' || code === 'EOPNOTSUPP') && !present(final)) {
      renameSync(temporary, final);
      return;
    }
    throw writeError(error, final);
  }
}

export function present(file: string): boolean {
  return lstatSync(file, { throwIfNoEntry: false }) !== undefined;
}

export interface ManagedFile {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
}

/**
 * Regular files with managed names. Directories and symlinks with such names are not archives.
 * @throws {ArchiveError} ArchiveUnreadable when the directory cannot be listed.
 */
export function managedFiles(directory: string): ManagedFile[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isFile() && isManagedName(entry.name))
      .flatMap(({ name }) => {
        const file = path.join(directory, name);
        const stats = lstatSync(file, { throwIfNoEntry: false });
        return stats?.isFile() ? [{ name, path: file, sizeBytes: stats.size, modifiedAt: stats.mtime }] : [];
      });
  } catch (error) {
    throw readError(error, directory);
  }
}
