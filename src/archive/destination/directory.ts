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
import { ArchiveError, writeError } from '../errors.ts';
import {
  type Compression,
  extensionOf,
  formatName,
  isManagedName,
  isManifestName,
  isTemporaryName,
  MANIFEST_SUFFIX,
  manifestNameOf,
} from '../format/names.ts';

/** Makes the directory and those above it where they are missing. Never falls back to another place. */
export function ensureDirectory(directory: string): void {
  try {
    makeDirectories(path.resolve(directory));
    if (!statSync(directory).isDirectory())
      throw new ArchiveError('DestinationUnusable', `${directory} is not a directory`);
  } catch (error) {
    throw writeError(error, directory);
  }
}

/** As `mkdir -p`. Node's own recursive mkdir never returns where a file system refuses with ENOENT (/proc, some FUSE). */
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

/** Removes what a killed run left. Call it only while holding the lock. */
export function sweep(directory: string): string[] {
  const swept: string[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const { name } = entry;
    const orphan =
      isManifestName(name) && !existsSync(path.join(directory, name.slice(0, -MANIFEST_SUFFIX.length)));
    if (!entry.isFile() || !(orphan || isTemporaryName(name))) continue;
    try {
      unlinkSync(path.join(directory, name));
      swept.push(name);
    } catch {
      // A leftover that cannot be removed harms nobody; the next run tries again.
    }
  }
  return swept;
}

/** The name of the run's second, or of the first later one that is free. */
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

/** Gives a file its final name, never over another. Throws `OutputExists`. */
export function publish(temporary: string, final: string): void {
  try {
    if (renameNoReplace(temporary, final) === 'done') return;
    linkSync(temporary, final);
    unlinkSync(temporary);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'EEXIST') {
      throw new ArchiveError('OutputExists', `${final} exists already; it was left as it is.`, {
        cause: error,
      });
    }
    // Neither renameat2 nor links: the lock keeps other runs away, so the look before the rename holds.
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

/** Regular files of the managed pattern; directories and symlinks of such names are nobody's archives. */
export function managedFiles(directory: string): ManagedFile[] {
  const files: ManagedFile[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (!entry.isFile() || !isManagedName(entry.name)) continue;
    const file = path.join(directory, entry.name);
    const stats = lstatSync(file, { throwIfNoEntry: false });
    if (stats?.isFile())
      files.push({ name: entry.name, path: file, sizeBytes: stats.size, modifiedAt: stats.mtime });
  }
  return files;
}
