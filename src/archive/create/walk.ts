import { closeSync, constants, openSync, readdirSync, readlinkSync } from 'node:fs';
import { type FileStatus, statusOf } from '../../posix/status.ts';
import { codeOf } from '../../posix/system-error.ts';
import { type ByteString, display, fromBuffer, join, ROOT, toPath } from '../format/byte-string.ts';
import type { Entry, EntryType } from '../format/entry.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import type { Patterns } from './patterns.ts';

export type WarningKind = 'changed' | 'vanished' | 'unreadable' | 'xattrs';

/** One thing that the archive does not hold faithfully. */
export interface Warning {
  readonly kind: WarningKind;
  readonly path: ByteString;
  readonly message: string;
}

export interface Found {
  readonly entry: Entry;
  /** Where to open it: the plain path, or one below `/proc/self/fd` where that would be too long. */
  readonly location: ByteString;
}

export interface WalkOptions {
  readonly root: ByteString;
  readonly exclude?: Patterns | undefined;
  readonly include?: Patterns | undefined;
  /** The destination, left out wherever it shows up (a pod may mount one volume twice). */
  readonly destination?: Pick<FileStatus, 'device' | 'ino'> | undefined;
  /** Leave out only what km-backup wrote in the destination, not everything that lies there. */
  readonly onlyOwnFiles?: ((name: string) => boolean) | undefined;
  readonly warn: (warning: Warning) => void;
}

/** A directory that is being read. */
interface Open {
  readonly found: Found;
  /** What its children's locations begin with. */
  readonly base: ByteString;
  readonly names: readonly ByteString[];
  readonly isDestination: boolean;
  next: number;
}

export interface WalkCounts {
  /** Entries yielded that are no directories. */
  contents: number;
  sockets: number;
  excluded: number;
}

/** Paths longer than this are opened through a descriptor of a directory on the way (PATH_MAX is 4,096). */
const LONG_PATH = 3_000;

/**
 * Everything below the root, in walk order (see compareWalkOrder), the root first. Holds in memory the names
 * of the directories on the way only, and the paths of hard-linked files until their last name was seen.
 */
export class Walk {
  readonly counts: WalkCounts = { contents: 0, sockets: 0, excluded: 0 };
  readonly #options: WalkOptions;
  readonly #firstNames = new Map<string, { path: ByteString; left: number }>();
  readonly #descriptors: number[] = [];

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  *[Symbol.iterator](): Generator<Found> {
    const { root, include } = this.#options;
    /** Directories that come only with what is included below them. */
    const waiting: Found[] = [];
    const open: Open[] = [];
    const status = statusOf(withSlash(root));
    let found = status && this.#describe(root, ROOT, status);
    for (;;) {
      if (found) {
        const isDirectory = found.entry.type === 'directory';
        if (isDirectory && include && !this.#included(found.entry.path, true)) waiting.push(found);
        else {
          if (waiting.length > 0) yield* waiting.splice(0);
          yield found;
        }
        if (isDirectory) open.push(this.#open(found));
        else this.counts.contents++;
      }
      const directory = open.at(-1);
      if (!directory) return;
      if (directory.next === directory.names.length) {
        open.pop();
        if (waiting.at(-1) === directory.found) waiting.pop();
        found = undefined;
      } else {
        found = this.#child(directory, directory.names[directory.next++]!);
      }
    }
  }

  close(): void {
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
  }

  #open(found: Found): Open {
    const { path, uid } = found.entry;
    const base = this.#shorten(found.location);
    let names: ByteString[] = [];
    try {
      names = readdirSync(toPath(withSlash(base)), { encoding: 'latin1' }) as ByteString[];
      names.sort(byBytes);
    } catch (error) {
      if (path === 'lost+found' && uid === 0) this.counts.excluded++;
      else this.#warn(error, path);
    }
    return { found, base, names, isDestination: this.#isHere(found), next: 0 };
  }

  /** Undefined where it is left out. */
  #child({ found, base, isDestination }: Open, name: ByteString): Found | undefined {
    const { path } = found.entry;
    if (path === ROOT && name === RESTORE_STATE_NAME) return undefined;
    const { onlyOwnFiles, exclude, include } = this.#options;
    if (isDestination && onlyOwnFiles?.(name)) return undefined;
    const childPath = join(path, name);
    const location = join(base, name);
    let status: FileStatus | undefined;
    try {
      status = statusOf(location);
    } catch (error) {
      this.#warn(error, childPath);
      return undefined;
    }
    if (!status) {
      this.#options.warn({ kind: 'vanished', path: childPath, message: 'vanished after it was listed' });
      return undefined;
    }
    const isDirectory = (status.mode & constants.S_IFMT) === constants.S_IFDIR;
    if (isDirectory && !onlyOwnFiles && this.#isDestination(status)) return undefined;
    if (
      exclude?.matches(childPath, isDirectory) ||
      (!isDirectory && include && !this.#included(childPath, false))
    ) {
      this.counts.excluded++;
      return undefined;
    }
    return this.#describe(location, childPath, status);
  }

  /** Included itself or by a directory above it. */
  #included(path: ByteString, isDirectory: boolean): boolean {
    const include = this.#options.include!;
    if (path === '') return false;
    if (include.matches(path, isDirectory)) return true;
    for (let cut = path.indexOf('/'); cut !== -1; cut = path.indexOf('/', cut + 1)) {
      if (include.matches(path.slice(0, cut) as ByteString, true)) return true;
    }
    return false;
  }

  #isDestination(status: FileStatus | undefined): boolean {
    const { destination } = this.#options;
    return (
      destination !== undefined && destination.ino === status?.ino && destination.device === status.device
    );
  }

  /** As #isDestination, with a second look only at what bears its inode number. */
  #isHere({ entry, location }: Found): boolean {
    return entry.ino === this.#options.destination?.ino && this.#isDestination(statusOf(location));
  }

  #describe(location: ByteString, path: ByteString, status: FileStatus): Found | undefined {
    const type = typeOf(status);
    if (type === 'socket') {
      this.counts.sockets++;
      return undefined;
    }
    const { mode, uid, gid, size, mtime, ctime, ino, node } = status;
    const base = {
      path,
      mode: mode & 0o7777,
      uid,
      gid,
      size: type === 'file' ? size : 0,
      mtime,
      ctime,
      ino,
    };
    if (status.links > 1 && type !== 'directory') {
      const first = this.#firstName(path, status);
      if (first !== undefined) {
        return { entry: { ...base, type: 'hardlink', size: 0, link: first }, location };
      }
    }
    if (type === 'symlink') {
      try {
        const link = fromBuffer(readlinkSync(toPath(location), { encoding: 'buffer' }));
        return { entry: { ...base, type, link }, location };
      } catch (error) {
        this.#warn(error, path);
        return undefined;
      }
    }
    if (type === 'character' || type === 'block') {
      return { entry: { ...base, type, device: node }, location };
    }
    return { entry: { ...base, type }, location };
  }

  /** The earlier path of the same inode; undefined where this is the first. */
  #firstName(path: ByteString, { device, ino, links }: FileStatus): ByteString | undefined {
    const key = `${device}:${ino}`;
    const known = this.#firstNames.get(key);
    if (!known) {
      this.#firstNames.set(key, { path, left: links - 1 });
      return undefined;
    }
    if (--known.left <= 0) this.#firstNames.delete(key);
    return known.path;
  }

  #shorten(location: ByteString): ByteString {
    if (location.length < LONG_PATH) return location;
    try {
      const fd = openSync(toPath(location), 'r');
      this.#descriptors.push(fd);
      return `/proc/self/fd/${fd}` as ByteString;
    } catch {
      return location;
    }
  }

  #warn(error: unknown, path: ByteString): void {
    this.#options.warn(readWarning(error, path));
  }
}

export function readWarning(error: unknown, path: ByteString): Warning {
  const code = codeOf(error);
  if (code === undefined) throw error;
  if (code === 'ENOENT') return { kind: 'vanished', path, message: 'vanished after it was listed' };
  return { kind: 'unreadable', path, message: `cannot be read (${code})` };
}

/** `./a/b: cannot be read (EACCES)`, bounded and escaped. */
export function formatWarning({ path, message }: Warning): string {
  return `${display(`./${path}` as ByteString)}: ${message}`;
}

/** With a slash the kernel follows a root that is a symlink, and refuses one that is no directory. */
function withSlash(path: ByteString): ByteString {
  return (path.endsWith('/') ? path : `${path}/`) as ByteString;
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function typeOf({ mode }: FileStatus): EntryType | 'socket' {
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
