import fs from 'node:fs';
import { nodePath } from '../../posix/node-path.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { setTimes } from '../../posix/times.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, join, toBuffer, toPath } from '../format/byte-string.ts';
import { isManagedName, isManifestName, LOCK_NAME } from '../format/names.ts';

/** Archives below a tree, with what belongs to them. */
export interface PreservedArchives {
  /** Directories that hold archives, relative to the root. */
  readonly directories: readonly ByteString[];
  /** Archives, manifests and lock files, relative to the root. */
  readonly files: readonly ByteString[];
}

/**
 * Finds the managed archives in a tree: the default destination lies inside the source. Symlinks are not
 * followed, other file systems not entered. `skip` is a name directly below the root.
 */
export function findArchives(root: ByteString, skip: string): PreservedArchives {
  const directories: ByteString[] = [];
  const files: ByteString[] = [];
  const device = fs.lstatSync(toPath(root)).dev;
  const pending: ByteString[] = ['' as ByteString];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const location = directory === '' ? root : join(root, directory);
    const names = fs.readdirSync(toPath(location), { withFileTypes: true, encoding: 'buffer' });
    const own: ByteString[] = [];
    let archives = 0;
    for (const entry of names) {
      const name = entry.name.toString('latin1') as ByteString;
      if (directory === '' && name === skip) continue;
      if (entry.isDirectory()) {
        const child = join(directory, name);
        if (fs.lstatSync(toPath(join(root, child))).dev === device) pending.push(child);
      } else if (entry.isFile() && (isManagedName(name) || isManifestName(name) || name === LOCK_NAME)) {
        own.push(join(directory, name));
        if (isManagedName(name)) archives++;
      }
    }
    if (archives > 0) {
      directories.push(directory);
      files.push(...own.sort());
    }
  }
  return { directories, files };
}

/** Throws `RestoreRefused` where a file could not be carried over, because its directory is none in the new tree. */
export function checkPreservable(files: readonly ByteString[], to: ByteString): void {
  for (const file of files) {
    for (const directory of ancestors(file)) {
      const stats = fs.lstatSync(toPath(join(to, directory)), { throwIfNoEntry: false });
      if (!stats) break;
      if (!stats.isDirectory()) {
        throw new ArchiveError(
          'RestoreRefused',
          `refused: '${display(directory)}' holds archives in the target, but is no directory in the tree that would replace it. Move these archives away first. Nothing was changed.`,
        );
      }
    }
    if (fs.lstatSync(toPath(join(to, file)), { throwIfNoEntry: false })?.isDirectory()) {
      throw new ArchiveError(
        'RestoreRefused',
        `refused: '${display(file)}' is an archive in the target, but a directory in the tree that would replace it. Move the archive away first. Nothing was changed.`,
      );
    }
  }
}

/**
 * Moves files from one tree to the same place in another, replacing copies there. What has left `from`
 * counts as moved, so it can be repeated after a crash.
 */
export function preserve(
  files: readonly ByteString[],
  from: ByteString,
  to: ByteString,
  failpoint: (name: string) => void,
): void {
  const touched = new Set<ByteString>();
  for (const file of files) {
    const source = toPath(join(from, file));
    if (!fs.lstatSync(source, { throwIfNoEntry: false })) continue;
    for (const directory of ancestors(file)) makeLike(join(from, directory), join(to, directory));
    failpoint(`preserve ${file}`);
    fs.renameSync(source, toPath(join(to, file)));
    const cut = file.lastIndexOf('/');
    const directory = (cut === -1 ? '' : file.slice(0, cut)) as ByteString;
    touched.add(directory);
  }
  for (const directory of touched) {
    syncDirectory(toBuffer(directory === '' ? to : join(to, directory)));
    syncDirectory(toBuffer(directory === '' ? from : join(from, directory)));
  }
}

function ancestors(file: ByteString): ByteString[] {
  const found: ByteString[] = [];
  for (let cut = file.indexOf('/'); cut !== -1; cut = file.indexOf('/', cut + 1)) {
    found.push(file.slice(0, cut) as ByteString);
  }
  return found;
}

/** A directory with the owner and mode of another one, unless it is there. */
function makeLike(model: ByteString, path: ByteString): void {
  const there = fs.lstatSync(toPath(path), { throwIfNoEntry: false });
  if (there?.isDirectory()) return;
  if (there)
    throw new ArchiveError(
      'RestoreFailed',
      `${display(path)} is no directory; archives cannot be moved below it`,
    );
  const stats = fs.lstatSync(toPath(model), { bigint: true });
  fs.mkdirSync(toPath(path), 0o700);
  if (process.getuid?.() === 0) fs.lchownSync(toPath(path), Number(stats.uid), Number(stats.gid));
  fs.chmodSync(nodePath(toBuffer(path)), Number(stats.mode & 0o7777n));
  setTimes(toBuffer(path), stats.mtimeNs, stats.mtimeNs);
}
