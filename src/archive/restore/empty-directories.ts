import fs from 'node:fs';
import { isSystemError } from '../../posix/system-error.ts';
import { type ByteString, join, ROOT } from '../format/byte-string.ts';
import { DeepPaths } from './deep-paths.ts';

/** Directories to delete with the files in them. */
export interface EmptyJob {
  readonly root: ByteString;
  /** Parents come before what they hold. */
  readonly directories: readonly ByteString[];
}

/** A job on the main thread holds up signals. */
const MAX_FILES = 2_000;

/** Deletes what it can. What is left, `removeTree` comes across again. */
export function emptyDirectories({ root, directories }: EmptyJob, maxFiles = MAX_FILES): void {
  using paths = new DeepPaths(root);
  const device = paths.lstat(ROOT)?.dev;
  let left = maxFiles;
  for (const directory of directories.toReversed()) {
    try {
      const stats = paths.lstat(directory);
      if (!stats?.isDirectory() || stats.dev !== device) continue;
      for (const entry of fs.readdirSync(paths.at(directory), { withFileTypes: true, encoding: 'buffer' })) {
        if (entry.isDirectory()) continue;
        if (left-- <= 0) return;
        fs.unlinkSync(paths.at(join(directory, entry.name.toString('latin1') as ByteString)));
      }
      if (directory !== ROOT) fs.rmdirSync(paths.at(directory));
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
}
