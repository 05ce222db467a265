import fs from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, join, ROOT } from '../format/byte-string.ts';
import { DeepPaths } from './deep-paths.ts';
import { describeObstacle } from './obstacles.ts';
import { Pauses } from './pauses.ts';

/**
 * Deletes a tree, however deep it is. Symlinks are removed, not followed. Other file systems are not touched.
 *
 * @param signal Stops between two entries; what is left can be removed later.
 * @throws {ArchiveError} RestoreFailed when something is mounted inside, or an entry cannot be removed.
 */
export async function removeTree(root: ByteString, signal?: AbortSignal): Promise<void> {
  using paths = new DeepPaths(root);
  const stats = fs.lstatSync(paths.at(ROOT), { throwIfNoEntry: false });
  if (!stats) return;
  if (!stats.isDirectory()) return remove(paths, ROOT, 'file');
  const pauses = new Pauses(signal);
  const pending: Visit[] = [{ directory: ROOT, emptied: false }];
  for (let visit = pending.pop(); visit; visit = pending.pop()) {
    if (pauses.due) await pauses.take();
    const { directory } = visit;
    if (visit.emptied) {
      remove(paths, directory, 'directory');
      continue;
    }
    pending.push({ directory, emptied: true });
    for (const entry of listToEmpty(paths, directory, stats.dev)) {
      const child = join(directory, entry.name.toString('latin1') as ByteString);
      if (entry.isDirectory()) pending.push({ directory: child, emptied: false });
      else remove(paths, child, 'file');
      if (pauses.due) await pauses.take();
    }
  }
}

interface Visit {
  readonly directory: ByteString;
  /** What it held is gone. */
  readonly emptied: boolean;
}

function listToEmpty(paths: DeepPaths, directory: ByteString, device: number): fs.Dirent<Buffer>[] {
  const stats = fs.lstatSync(paths.at(directory));
  if (stats.dev !== device) {
    throw new ArchiveError(
      'RestoreFailed',
      `${display(join(paths.root, directory))}: something is mounted there. Unmount it and run the same command again.`,
    );
  }
  try {
    // Its owner can only empty a directory that it may read, write and search.
    if ((stats.mode & 0o700) !== 0o700) fs.chmodSync(paths.at(directory), 0o700);
    return fs.readdirSync(paths.at(directory), { withFileTypes: true, encoding: 'buffer' });
  } catch (error) {
    throw notRemoved(paths, directory, error);
  }
}

function remove(paths: DeepPaths, path: ByteString, kind: 'file' | 'directory'): void {
  try {
    if (kind === 'file') fs.unlinkSync(paths.at(path));
    else fs.rmdirSync(paths.at(path));
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw notRemoved(paths, path, error);
  }
}

function notRemoved(paths: DeepPaths, path: ByteString, error: unknown): unknown {
  const code = codeOf(error);
  if (code === undefined) return error;
  const shown = display(join(paths.root, path));
  return new ArchiveError(
    'RestoreFailed',
    `${shown} cannot be removed (${code}${describeObstacle(paths, path)}). Remove that obstacle and run the same command again.`,
    { cause: error },
  );
}
