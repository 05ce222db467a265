import { closeSync, constants } from 'node:fs';
import { openAt, openBeneath } from '../../posix/beneath.ts';
import { namesIn } from '../../posix/directory-names.ts';
import { readLinkAt } from '../../posix/read-link.ts';
import { type FileStatus, statusAt, statusOfOpen } from '../../posix/status.ts';
import { isSystemError } from '../../posix/system-error.ts';
import { type ByteString, join, ROOT } from '../format/byte-string.ts';
import type { Entry, EntryType } from '../format/entry.ts';
import { ListingLog } from './listing-log.ts';
import type { DirectoryRole, Selection } from './selection.ts';
import { identityOf } from './source-file.ts';
import { readWarning, type Warn } from './warning.ts';

export interface Found {
  readonly entry: Entry;
  /** For a file with several names: the inode that had this name. What is opened later must be the same one. */
  readonly identity?: string;
  /** For a further name of an inode: the entry to store if the first name turns out not to hold that inode. */
  readonly own?: Entry;
}

export interface WalkOptions {
  /** Descriptor of the source directory. It stays open for as long as anything found here may be opened. */
  readonly root: number;
  readonly selection: Selection;
  readonly warn: Warn;
}

export interface WalkCounts {
  /** Entries yielded that are not directories. */
  contents: number;
  sockets: number;
  excluded: number;
}

/** A directory on the path from the root to the walk's current position. */
interface Level {
  readonly found: Found;
  readonly status: FileStatus;
  readonly names: readonly ByteString[];
  /** Names that are probably directories, in the order of `names`. A set would cost more: V8 interns its strings. */
  readonly directories: readonly string[];
  readonly role: DirectoryRole;
  /** Tags of the entries found so far; undefined if the directory could not be read. */
  readonly inodes: number[] | undefined;
  next: number;
  nextDirectory: number;
  /** Undefined while it is closed, in very deep trees. */
  fd: number | undefined;
}

/** What comes next in the walk: a directory that is open, or anything else. */
type Next = Level | { readonly found: Found };

/** How many directories are kept open. In a deeper tree, the walk opens the others again on its way back. */
const MAX_OPEN = 128;

/** Readers of archives refuse longer ones. */
const MAX_PATH = 64 * 1024;

const READ_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Yields the root and everything below it in walk order (see compareWalkOrder). Every name is looked up in an open
 * directory, so replacing a directory by a symlink cannot lead the walk elsewhere. In memory are the names of the
 * directories on the current path, the paths of hard-linked files until their last name was seen, and a compact log
 * of what was listed.
 */
export class Walk {
  readonly counts: WalkCounts = { contents: 0, sockets: 0, excluded: 0 };
  readonly listings = new ListingLog();
  readonly #root: number;
  readonly #selection: Selection;
  readonly #warn: Warn;
  readonly #firstNames = new Map<string, { path: ByteString; left: number }>();

  constructor({ root, selection, warn }: WalkOptions) {
    this.#root = root;
    this.#selection = selection;
    this.#warn = warn;
  }

  *[Symbol.iterator](): Generator<Found> {
    /** Directories that are stored only if something below them is. */
    const waiting: Found[] = [];
    const levels: Level[] = [];
    try {
      const status = statusOfOpen(this.#root);
      const fd = openAt(this.#root, '.', READ_DIRECTORY);
      let next: Next | undefined = this.#list({ entry: describe(ROOT, status) }, status, fd);
      for (;;) {
        if (next) {
          const { found } = next;
          const entered = isLevel(next) ? next : undefined;
          if (entered && !this.#selection.includes(found.entry.path, true)) waiting.push(found);
          else {
            if (waiting.length > 0) yield* waiting.splice(0);
            yield found;
          }
          if (entered) {
            levels.push(entered);
            close(levels[levels.length - 1 - MAX_OPEN]);
          } else this.counts.contents++;
        }
        const level = levels.at(-1);
        if (!level) return;
        if (level.next < level.names.length) next = this.#child(level, level.names[level.next++]!);
        else {
          levels.pop();
          this.#leave(level);
          if (waiting.at(-1) === level.found) waiting.pop();
          next = undefined;
        }
      }
    } finally {
      for (const level of levels) close(level);
    }
  }

  /** The entry with this name, opened if it is a directory; undefined if it is left out. */
  #child(parent: Level, name: ByteString): Next | undefined {
    const path = join(parent.found.entry.path, name);
    const isListedDirectory = parent.directories[parent.nextDirectory] === name;
    if (isListedDirectory) parent.nextDirectory++;
    if (this.#selection.isRestoreState(path)) return undefined;
    try {
      const directory = parent.fd ?? this.#reopen(parent);
      // Opened before its status is read, so the two need no comparison.
      const fd = isListedDirectory ? openIfPossible(directory, name) : undefined;
      if (fd !== undefined) return this.#opened(parent, name, path, fd);
      const status = statusAt(directory, name);
      if (!status) {
        this.#warn({ kind: 'vanished', path, message: 'vanished after it was listed' });
        return undefined;
      }
      parent.inodes?.push(status.inodeTag);
      if (this.#isLeftOut(path, name, parent.role, status)) return undefined;
      const found = this.#describe(directory, name, path, status);
      return found?.entry.type === 'directory'
        ? this.#openListed(directory, name, found, status)
        : found && { found };
    } catch (error) {
      this.#warn(error instanceof Replaced ? replaced(parent.found.entry.path) : readWarning(error, path));
      return undefined;
    }
  }

  #opened(parent: Level, name: ByteString, path: ByteString, fd: number): Level | undefined {
    let level: Level | undefined;
    try {
      const status = statusOfOpen(fd);
      parent.inodes?.push(status.inodeTag);
      if (!this.#isLeftOut(path, name, parent.role, status) && this.#isShort(path)) {
        level = this.#list({ entry: describe(path, status) }, status, fd);
      }
      return level;
    } finally {
      if (level?.fd !== fd) closeSync(fd);
    }
  }

  #isLeftOut(path: ByteString, name: ByteString, role: DirectoryRole, status: FileStatus): boolean {
    const type = typeOf(status);
    if (
      (type === 'directory' && this.#selection.isDestination(status)) ||
      this.#selection.leavesOut(path, name, role, status)
    ) {
      this.counts.excluded++;
      return true;
    }
    if (type === 'socket') this.counts.sockets++;
    return type === 'socket';
  }

  /** For file systems whose listings do not say what is a directory. Without content if it cannot be opened. */
  #openListed(directory: number, name: ByteString, found: Found, status: FileStatus): Level | undefined {
    const { path } = found.entry;
    try {
      const fd = openAt(directory, name, READ_DIRECTORY);
      let level: Level | undefined;
      try {
        if (isSame(status, statusOfOpen(fd))) {
          level = this.#list(found, status, fd);
          return level;
        }
      } finally {
        if (level?.fd !== fd) closeSync(fd);
      }
      this.#warn(replaced(path));
    } catch (error) {
      if (path === 'lost+found' && status.uid === 0) this.counts.excluded++;
      else this.#warn(readWarning(error, path));
    }
    return unread(found, status);
  }

  /** The names of an open directory; undefined if it serves as a destination. */
  #list(found: Found, status: FileStatus, fd: number): Level | undefined {
    const { path } = found.entry;
    try {
      const { names, directories } = namesIn(fd);
      const role = this.#selection.roleOf(path, status, fd, names);
      if (role !== 'destination') {
        names.sort(byBytes);
        directories.sort(byBytes);
        const inodes: number[] = [];
        return {
          found,
          status,
          names: names as ByteString[],
          directories,
          role,
          inodes,
          next: 0,
          nextDirectory: 0,
          fd,
        };
      }
      this.counts.excluded++;
      return undefined;
    } catch (error) {
      this.#warn(readWarning(error, path));
      return unread(found, status);
    }
  }

  #reopen(level: Level): number {
    const fd = openBeneath(this.#root, level.found.entry.path, READ_DIRECTORY);
    if (!isSame(level.status, statusOfOpen(fd))) {
      closeSync(fd);
      // Its other names are somewhere else now.
      level.next = level.names.length;
      throw new Replaced();
    }
    level.fd = fd;
    return fd;
  }

  #leave(level: Level): void {
    close(level);
    const { found, status, inodes } = level;
    if (inodes) this.listings.add(found.entry.path, status, inodes);
  }

  #describe(directory: number, name: ByteString, path: ByteString, seen: FileStatus): Found | undefined {
    if (!this.#isShort(path)) return undefined;
    let status = seen;
    let link: ByteString | undefined;
    if (typeOf(status) === 'symlink') {
      const read = readSymlink(directory, name, status);
      if (!read) {
        this.#warn({ kind: 'changed', path, message: 'changed whenever it was looked at; it is not stored' });
        return undefined;
      }
      ({ status, link } = read);
    }
    const entry = describe(path, status, link);
    if (status.links < 2 || entry.type === 'directory') return { entry };
    const identity = identityOf(status);
    const first = this.#firstName(path, identity, status);
    if (first === undefined) return { entry, identity };
    const { link: _, device: __, ...plain } = entry;
    return { entry: { ...plain, type: 'hardlink', size: 0, link: first }, own: entry, identity };
  }

  #isShort(path: ByteString): boolean {
    if (path.length <= MAX_PATH) return true;
    const message = `its path of ${path.length} bytes is longer than readers of archives take (${MAX_PATH})`;
    this.#warn({ kind: 'unreadable', path, message });
    return false;
  }

  /** The earlier path of the same inode; undefined if this is the first. */
  #firstName(path: ByteString, identity: string, { links }: FileStatus): ByteString | undefined {
    const known = this.#firstNames.get(identity);
    if (!known) {
      this.#firstNames.set(identity, { path, left: links - 1 });
      return undefined;
    }
    if (--known.left <= 0) this.#firstNames.delete(identity);
    return known.path;
  }
}

class Replaced extends Error {}

function replaced(path: ByteString) {
  return {
    kind: 'vanished',
    path,
    message: 'was replaced by another directory after it was listed',
  } as const;
}

/** A directory without its content. */
function unread(found: Found, status: FileStatus): Level {
  return {
    found,
    status,
    names: [],
    directories: [],
    role: 'data',
    inodes: undefined,
    next: 0,
    nextDirectory: 0,
    fd: undefined,
  };
}

function openIfPossible(directory: number, name: ByteString): number | undefined {
  try {
    return openAt(directory, name, READ_DIRECTORY);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return undefined;
  }
}

function isLevel(next: Next): next is Level {
  return 'names' in next;
}

function close(level: Level | undefined): void {
  if (level?.fd === undefined) return;
  closeSync(level.fd);
  level.fd = undefined;
}

function isSame(a: FileStatus, b: FileStatus): boolean {
  return a.ino === b.ino && a.device === b.device;
}

const LINK_ATTEMPTS = 4;

/** A symlink's text together with the status of the inode that holds it. */
function readSymlink(
  directory: number,
  name: ByteString,
  seen: FileStatus,
): { status: FileStatus; link: ByteString } | undefined {
  let before = seen;
  for (let attempt = 1; attempt <= LINK_ATTEMPTS; attempt++) {
    const link = readLinkAt(directory, name) as ByteString;
    const after = statusAt(directory, name);
    if (!after || typeOf(after) !== 'symlink') return undefined;
    if (identityOf(after) === identityOf(before)) return { status: after, link };
    before = after;
  }
  return undefined;
}

function describe(path: ByteString, status: FileStatus, link?: ByteString): Entry {
  const { mode, uid, gid, size, mtime, ctime, ino, node } = status;
  const type = typeOf(status) as EntryType;
  const entry = {
    path,
    type,
    mode: mode & 0o7777,
    uid,
    gid,
    size: type === 'file' ? size : 0,
    mtime,
    ctime,
    ino,
  };
  if (link !== undefined) return { ...entry, link };
  return type === 'character' || type === 'block' ? { ...entry, device: node } : entry;
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function typeOf({ mode }: FileStatus): EntryType | 'socket' {
  return types.get(mode & constants.S_IFMT) ?? 'socket';
}

const types: ReadonlyMap<number, EntryType> = new Map([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'directory'],
  [constants.S_IFLNK, 'symlink'],
  [constants.S_IFIFO, 'fifo'],
  [constants.S_IFCHR, 'character'],
  [constants.S_IFBLK, 'block'],
]);
