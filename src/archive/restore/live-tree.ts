import fs from 'node:fs';
import { type FileStatus, statusOf } from '../../posix/status.ts';
import { getXattr, listXattrs } from '../../posix/xattr.ts';
import { type ByteString, fromBuffer, join, ROOT, toBuffer } from '../format/byte-string.ts';
import type { EntryType } from '../format/entry.ts';
import { DeepPaths } from './deep-paths.ts';

/** An entry of a tree on disk. What costs another system call is read when it is asked for. */
export interface LiveEntry {
  readonly path: ByteString;
  readonly type: EntryType | 'socket';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Nanoseconds since the epoch, decimal. */
  readonly mtime: string;
  readonly ctime: string;
  readonly ino: string;
  /** Text of a symlink. */
  link(): ByteString;
  /** Name to base64. */
  xattrs(): Readonly<Record<string, string>>;
  /** Whether another path of the tree is the same file. */
  isSameFile(path: ByteString): boolean;
}

const { S_IFMT, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFCHR, S_IFBLK } = fs.constants;
const types: ReadonlyMap<number, EntryType> = new Map([
  [S_IFREG, 'file'],
  [S_IFDIR, 'directory'],
  [S_IFLNK, 'symlink'],
  [S_IFIFO, 'fifo'],
  [S_IFCHR, 'character'],
  [S_IFBLK, 'block'],
]);

/** Attributes that the system sets by itself, and that no archive holds. */
const ofTheSystem: ReadonlySet<string> = new Set(['security.selinux', 'security.ima', 'security.evm']);

/** A tree on disk. Holds the names of the directories on the way, nothing else. */
export class LiveTree implements Disposable {
  readonly #paths: DeepPaths;

  constructor(root: ByteString) {
    this.#paths = new DeepPaths(root);
  }

  /**
   * Every entry in walk order, the root first.
   *
   * @param skip Paths to leave out, with everything below.
   */
  *walk(skip: (path: ByteString) => boolean): Generator<LiveEntry> {
    const root = this.at(ROOT);
    if (!root) return;
    yield root;
    const open = [this.#list(ROOT)];
    for (let names = open.at(-1); names; names = open.at(-1)) {
      const path = names.pop();
      if (path === undefined) open.pop();
      else if (!skip(path)) {
        const entry = this.at(path);
        if (!entry) continue;
        yield entry;
        if (entry.type === 'directory') open.push(this.#list(path));
      }
    }
  }

  /** @returns Undefined when there is nothing. */
  at(path: ByteString): LiveEntry | undefined {
    const status = this.#statusOf(path);
    if (!status) return undefined;
    const { mode, uid, gid, size, mtime, ctime, ino, device } = status;
    const type = types.get(mode & S_IFMT) ?? 'socket';
    return {
      path,
      type,
      mode: mode & 0o7777,
      uid,
      gid,
      size: type === 'file' ? size : 0,
      mtime,
      ctime,
      ino,
      link: () => fromBuffer(fs.readlinkSync(this.#paths.at(path), { encoding: 'buffer' })),
      xattrs: () => this.#xattrsOf(path),
      isSameFile: (other) => {
        const found = this.#statusOf(other);
        return found?.ino === ino && found.device === device;
      },
    };
  }

  [Symbol.dispose](): void {
    this.#paths[Symbol.dispose]();
  }

  #statusOf(path: ByteString): FileStatus | undefined {
    return statusOf(this.#paths.locate(path));
  }

  #xattrsOf(path: ByteString): Record<string, string> {
    const location = toBuffer(this.#paths.locate(path));
    const found: Record<string, string> = {};
    for (const name of listXattrs(location)) {
      const value = ofTheSystem.has(name) ? undefined : getXattr(location, name);
      if (value) found[name] = value.toString('base64');
    }
    return found;
  }

  /** The paths of what a directory holds, the first one last. */
  #list(directory: ByteString): ByteString[] {
    const names = fs.readdirSync(this.#paths.at(directory), { encoding: 'latin1' }) as ByteString[];
    return names.sort((a, b) => (a < b ? 1 : -1)).map((name) => join(directory, name));
  }
}
