import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readlinkSync } from 'node:fs';
import { type ByteString, display, fromBuffer, join, ROOT, toPath } from './byte-string.ts';
import { errnoOf } from './errors.ts';
import type { Entry, EntryType } from './manifest.ts';
import type { Patterns } from './patterns.ts';
import { RESTORE_STATE_NAME } from './restore-validate.ts';

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
  /** 512-byte units allocated; fewer than the size needs means holes. */
  readonly blocks: number;
}

export interface WalkOptions {
  readonly root: ByteString;
  readonly exclude?: Patterns | undefined;
  readonly include?: Patterns | undefined;
  /** The destination, left out wherever it shows up (a pod may mount one volume twice). */
  readonly destination?: { readonly dev: bigint; readonly ino: bigint } | undefined;
  /** Leave out only what km-backup wrote in the destination, not everything that lies there. */
  readonly onlyOwnFiles?: ((name: string) => boolean) | undefined;
  readonly warn: (warning: Warning) => void;
}

export interface WalkCounts {
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
  readonly counts: WalkCounts = { sockets: 0, excluded: 0 };
  readonly #options: WalkOptions;
  readonly #firstNames = new Map<string, { path: ByteString; left: number }>();
  readonly #descriptors: number[] = [];

  constructor(options: WalkOptions) {
    this.#options = options;
  }

  *[Symbol.iterator](): Generator<Found> {
    const stats = lstatSync(toPath(withSlash(this.#options.root)), { bigint: true });
    yield* this.#visit(this.#options.root, ROOT, stats, []);
  }

  close(): void {
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
  }

  *#visit(location: ByteString, path: ByteString, stats: BigIntStats, waiting: Found[]): Generator<Found> {
    const found = this.#describe(location, path, stats);
    if (!found) return;
    if (found.entry.type !== 'directory') {
      yield* waiting.splice(0);
      yield found;
      return;
    }
    const { include } = this.#options;
    if (include && !this.#included(path, true)) waiting.push(found);
    else {
      yield* waiting.splice(0);
      yield found;
    }
    const depth = waiting.length;
    yield* this.#children(location, path, stats, waiting);
    if (include && waiting.length === depth && waiting.at(-1) === found) waiting.pop();
  }

  *#children(location: ByteString, path: ByteString, stats: BigIntStats, waiting: Found[]): Generator<Found> {
    const base = this.#shorten(location);
    let names: ByteString[];
    try {
      names = readdirSync(toPath(withSlash(base)), { encoding: 'latin1' }) as ByteString[];
    } catch (error) {
      if (path === 'lost+found' && stats.uid === 0n) this.counts.excluded++;
      else this.#warn(error, path);
      return;
    }
    names.sort(byBytes);
    const isDestination = this.#isDestination(stats);
    for (const name of names) {
      if (path === ROOT && name === RESTORE_STATE_NAME) continue;
      if (isDestination && this.#options.onlyOwnFiles?.(name)) continue;
      const childPath = join(path, name);
      const childLocation = join(base, name);
      let child: BigIntStats | undefined;
      try {
        child = lstatSync(toPath(childLocation), { bigint: true, throwIfNoEntry: false });
        if (!child) {
          this.#options.warn({ kind: 'vanished', path: childPath, message: 'vanished after it was listed' });
          continue;
        }
      } catch (error) {
        this.#warn(error, childPath);
        continue;
      }
      const directory = child.isDirectory();
      if (directory && !this.#options.onlyOwnFiles && this.#isDestination(child)) continue;
      if (this.#options.exclude?.matches(childPath, directory)) {
        this.counts.excluded++;
        continue;
      }
      if (!directory && this.#options.include && !this.#included(childPath, false)) {
        this.counts.excluded++;
        continue;
      }
      yield* this.#visit(childLocation, childPath, child, waiting);
    }
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

  #isDestination(stats: BigIntStats): boolean {
    const { destination } = this.#options;
    return destination !== undefined && stats.ino === destination.ino && stats.dev === destination.dev;
  }

  #describe(location: ByteString, path: ByteString, stats: BigIntStats): Found | undefined {
    const type = typeOf(stats);
    if (type === 'socket') {
      this.counts.sockets++;
      return undefined;
    }
    const base = {
      path,
      mode: Number(stats.mode & 0o7777n),
      uid: Number(stats.uid),
      gid: Number(stats.gid),
      size: type === 'file' ? Number(stats.size) : 0,
      mtime: stats.mtimeNs.toString(),
      ctime: stats.ctimeNs.toString(),
      ino: stats.ino.toString(),
    };
    const blocks = Number(stats.blocks);
    if (stats.nlink > 1n && type !== 'directory') {
      const first = this.#firstName(path, stats);
      if (first !== undefined) {
        return { entry: { ...base, type: 'hardlink', size: 0, link: first }, location, blocks };
      }
    }
    if (type === 'symlink') {
      try {
        const link = fromBuffer(readlinkSync(toPath(location), { encoding: 'buffer' }));
        return { entry: { ...base, type, link }, location, blocks };
      } catch (error) {
        this.#warn(error, path);
        return undefined;
      }
    }
    if (type === 'character' || type === 'block') {
      return { entry: { ...base, type, device: splitDevice(stats.rdev) }, location, blocks };
    }
    return { entry: { ...base, type }, location, blocks };
  }

  /** The earlier path of the same inode; undefined where this is the first. */
  #firstName(path: ByteString, stats: BigIntStats): ByteString | undefined {
    const key = `${stats.dev}:${stats.ino}`;
    const known = this.#firstNames.get(key);
    if (!known) {
      this.#firstNames.set(key, { path, left: Number(stats.nlink) - 1 });
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
  const code = errnoOf(error);
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

function typeOf(stats: BigIntStats): EntryType | 'socket' {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  if (stats.isSymbolicLink()) return 'symlink';
  if (stats.isFIFO()) return 'fifo';
  if (stats.isCharacterDevice()) return 'character';
  if (stats.isBlockDevice()) return 'block';
  return 'socket';
}

/** Linux's encoding of a device number. */
function splitDevice(rdev: bigint): [number, number] {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return [Number(major), Number(minor & 0xffffffffn)];
}
