import fs from 'node:fs';
import { namesIn } from '../../posix/directory-names.ts';
import { statusOfOpen } from '../../posix/status.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import { setTimes } from '../../posix/times.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText, join, ROOT, toBuffer } from '../format/byte-string.ts';
import {
  isManagedName,
  isManifestName,
  isOwnName,
  isSuspicionName,
  LOCK_NAME,
  manifestNameOf,
  RESTORE_STATE_NAME,
} from '../format/names.ts';
import { DeepPaths } from './deep-paths.ts';
import { refused } from './failures.ts';
import { isKeptName } from './kept-names.ts';
import { factsOf, movabilityOf, parentOf, rightsOfProcess } from './obstacles.ts';
import { Pauses } from './pauses.ts';

/** Archives below a tree, with what belongs to them. */
export interface PreservedArchives {
  /** Directories that hold managed archives, relative to the root. */
  readonly directories: readonly ByteString[];
  /** Archives, manifests and lock files, relative to the root. */
  readonly files: readonly ByteString[];
}

export interface FindOptions {
  /** Files to find as well, whatever their names, as `dev:ino`. Costs an lstat for each file. */
  readonly inodes?: ReadonlySet<string> | undefined;
  /** The tree is about to be deleted, so directories of one's own may be made readable. */
  readonly makeReadable?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Gets each directory before what it holds. */
  readonly visit?: (directory: ByteString) => void;
}

/**
 * Finds the managed archives in a tree: the default destination lies inside the source. Symlinks are not
 * followed, other file systems not entered.
 *
 * @throws {ArchiveError} RestoreRefused when a directory of another user cannot be read.
 */
export async function findArchives(root: ByteString, options: FindOptions = {}): Promise<PreservedArchives> {
  using paths = new DeepPaths(root);
  const directories: ByteString[] = [];
  const files: ByteString[] = [];
  let device: string | undefined;
  const pauses = new Pauses(options.signal);
  const pending: ByteString[] = [ROOT];
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    const own: ByteString[] = [];
    let archives = 0;
    if (pauses.due) await pauses.take();
    const listed = listDirectory(paths, directory, options);
    device ??= listed.device;
    if (listed.device !== device) continue;
    options.visit?.(directory);
    for (const name of listed.names) {
      if (directory === ROOT && name === RESTORE_STATE_NAME) continue;
      const path = join(directory, name);
      if (listed.isDirectory(name, path)) pending.push(path);
      else if (isArchiveName(name)) {
        if (!paths.lstat(path)?.isFile()) continue;
        if (isManagedName(name)) archives++;
        own.push(path);
      } else if (options.inodes?.has(inodeAt(paths, path))) files.push(path);
    }
    if (archives > 0) {
      directories.push(directory);
      files.push(...own.sort());
    }
  }
  return { directories, files };
}

function isArchiveName(name: string): boolean {
  return isManagedName(name) || isManifestName(name) || isSuspicionName(name) || name === LOCK_NAME;
}

interface Listed {
  readonly device: string | undefined;
  readonly names: readonly ByteString[];
  readonly isDirectory: (name: ByteString, path: ByteString) => boolean;
}

const nothing: Listed = { device: undefined, names: [], isDirectory: () => false };

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = fs.constants;

function listDirectory(paths: DeepPaths, directory: ByteString, { makeReadable }: FindOptions): Listed {
  const list = (): Listed => {
    const fd = fs.openSync(paths.at(directory), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      const { device } = statusOfOpen(fd);
      const { names, directories, isComplete } = namesIn(fd);
      const listed = new Set(directories);
      const isDirectory = (name: ByteString, path: ByteString) =>
        listed.has(name) || (!isComplete && (paths.lstat(path)?.isDirectory() ?? false));
      return { device, names: names as ByteString[], isDirectory };
    } finally {
      fs.closeSync(fd);
    }
  };
  try {
    return list();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return nothing;
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    // The file system's own, which stays in place.
    if (isKeptName(directory)) return nothing;
    const { uid } = fs.lstatSync(paths.at(directory));
    if (uid === process.geteuid?.()) {
      // Not even its owner has put archives there. It is looked into once more before it is deleted.
      if (!makeReadable) return nothing;
      fs.chmodSync(paths.at(directory), 0o700);
      return list();
    }
    throw refused(
      `${display(join(paths.root, directory))} belongs to user ${uid} and cannot be read (${code}), so it could be neither checked for archives nor removed. Run as that user or as root`,
      error,
    );
  }
}

function inodeAt(paths: DeepPaths, path: ByteString): string {
  const stats = fs.lstatSync(paths.at(path), { bigint: true, throwIfNoEntry: false });
  return `${stats?.dev}:${stats?.ino}`;
}

/**
 * As `findArchives`, and the archive that is being restored with its manifest: it may have any name, or lie
 * in the target under another one (a second mount of the same volume, a hard link).
 *
 * @param archive Absolute path.
 */
export async function findArchivesAnd(
  archive: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<PreservedArchives> {
  const wanted = [archive, manifestNameOf(archive)].filter((file) => fs.existsSync(file));
  const inside: ByteString[] = [];
  const inodes = new Set<string>();
  const device = fs.statSync(target).dev;
  for (const file of wanted) {
    const real = fs.realpathSync(file);
    if (real.startsWith(`${target}/`)) inside.push(fromText(real.slice(target.length + 1)));
    else if (fs.statSync(real).dev === device) inodes.add(inodeAt(new DeepPaths(fromText(real)), ROOT));
  }
  const found = await findArchives(fromText(target), {
    inodes: inodes.size > 0 ? inodes : undefined,
    signal,
  });
  return { ...found, files: [...new Set([...found.files, ...inside])] };
}

/**
 * Checks that files can be moved from one tree to the same places in another.
 *
 * @param to Undefined while that tree does not exist yet.
 * @throws {ArchiveError} RestoreRefused when one cannot.
 */
export function checkPreservable(
  files: readonly ByteString[],
  from: ByteString,
  to: ByteString | undefined,
): void {
  using source = new DeepPaths(from);
  const rights = rightsOfProcess();
  for (const file of files) {
    if (!source.lstat(file)) continue;
    const entry = factsOf(source.locate(file));
    const parent = factsOf(source.locate(parentOf(file)));
    if (!entry || !parent) continue;
    const verdict = movabilityOf(entry, parent, rights);
    if (verdict.kind === 'blocked') throw immovable(file, verdict.why);
    if (!parent.writable && parent.uid !== rights.uid)
      throw immovable(file, `its directory belongs to user ${parent.uid}`);
  }
  if (to !== undefined) checkPlaces(files, to);
}

function immovable(file: ByteString, why: string): ArchiveError {
  return refused(
    `the archive file '${display(file)}' in the target must be preserved but cannot be moved: ${why}. Remove that obstacle, or move the archive away`,
  );
}

function checkPlaces(files: readonly ByteString[], to: ByteString): void {
  using target = new DeepPaths(to);
  for (const file of files) {
    for (const directory of ancestors(file)) {
      const stats = target.lstat(directory);
      if (!stats) break;
      if (!stats.isDirectory()) throw noPlaceBelow(directory);
    }
    const existing = target.lstat(file);
    if (existing && (existing.isDirectory() || !mayReplace(file))) throw noPlaceFor(file);
  }
}

/** An archive replaces the copy of itself that the tree may hold; a file of any other name is content. */
function mayReplace(file: ByteString): boolean {
  return isOwnName(file.slice(file.lastIndexOf('/') + 1));
}

/**
 * As `checkPreservable`, for a tree that is known by its entries only.
 *
 * @throws {ArchiveError} RestoreRefused when a file has no place in it.
 */
export function checkPlacesIn(
  files: readonly ByteString[],
  kindOf: (path: ByteString) => 'directory' | 'other' | undefined,
): void {
  for (const file of files) {
    const blocked = ancestors(file).find((directory) => kindOf(directory) === 'other');
    if (blocked !== undefined) throw noPlaceBelow(blocked);
    const kind = kindOf(file);
    if (kind === 'directory' || (kind === 'other' && !mayReplace(file))) throw noPlaceFor(file);
  }
}

function noPlaceBelow(directory: ByteString): ArchiveError {
  return refused(
    `'${display(directory)}' holds archives in the target, but is not a directory in the tree that would replace it. Move these archives away first`,
  );
}

function noPlaceFor(file: ByteString): ArchiveError {
  return refused(
    `'${display(file)}' is an archive in the target, but something else in the tree that would replace it. Move the archive away first`,
  );
}

/**
 * Moves files from one tree to the same place in another, replacing copies there. A file missing from
 * `from` has been moved before, so this can be repeated after a crash.
 */
export function preserve(
  files: readonly ByteString[],
  from: ByteString,
  to: ByteString,
  failpoint: (name: string) => void,
): void {
  using source = new DeepPaths(from);
  using target = new DeepPaths(to);
  const touched = new Set<ByteString>();
  for (const file of files) {
    if (!source.lstat(file)) continue;
    for (const directory of ancestors(file)) makeLike(source, target, directory);
    failpoint(`preserve ${file}`);
    const directory = parentOf(file);
    whileWritable(source, directory, () =>
      whileWritable(target, directory, () => fs.renameSync(source.at(file), target.at(file))),
    );
    touched.add(directory);
  }
  for (const directory of touched) {
    syncDirectory(toBuffer(target.locate(directory)));
    syncDirectory(toBuffer(source.locate(directory)));
  }
}

function ancestors(file: ByteString): ByteString[] {
  const found: ByteString[] = [];
  for (let cut = file.indexOf('/'); cut !== -1; cut = file.indexOf('/', cut + 1)) {
    found.push(file.slice(0, cut) as ByteString);
  }
  return found;
}

/** Creates a directory with the owner and mode of its model, unless it exists. */
function makeLike(source: DeepPaths, target: DeepPaths, path: ByteString): void {
  const existing = target.lstat(path);
  if (existing?.isDirectory()) return;
  if (existing) {
    throw new ArchiveError(
      'RestoreFailed',
      `${display(join(target.root, path))} is not a directory, so archives cannot be moved below it. Move it away and run the same command again.`,
    );
  }
  const stats = fs.lstatSync(source.at(path), { bigint: true });
  whileWritable(target, parentOf(path), () => fs.mkdirSync(target.at(path), 0o700));
  if (process.getuid?.() === 0) fs.lchownSync(target.at(path), Number(stats.uid), Number(stats.gid));
  fs.chmodSync(target.at(path), Number(stats.mode & 0o7777n));
  setTimes(toBuffer(target.locate(path)), stats.mtimeNs, stats.mtimeNs);
}

/** Does something in a directory which, if it is one's own, may have to be made writable for the moment. */
function whileWritable(paths: DeepPaths, directory: ByteString, change: () => void): void {
  const facts = factsOf(paths.locate(directory));
  if (!facts || facts.writable || facts.uid !== process.geteuid?.()) {
    change();
    return;
  }
  const { mode } = fs.lstatSync(paths.at(directory));
  fs.chmodSync(paths.at(directory), (mode & 0o7777) | 0o300);
  try {
    change();
  } finally {
    fs.chmodSync(paths.at(directory), mode & 0o7777);
  }
}
