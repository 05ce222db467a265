import { createHash, type Hash, hash } from 'node:crypto';
import fs from 'node:fs';
import { makeFifo } from '../../posix/fifo.ts';
import { nodePath } from '../../posix/node-path.ts';
import { codeOf } from '../../posix/system-error.ts';
import { setTimes, setTimesOf } from '../../posix/times.ts';
import { setXattr } from '../../posix/xattr.ts';
import { ArchiveError } from '../errors.ts';
import {
  type ByteString,
  display,
  fromBuffer,
  fromText,
  join,
  toBuffer,
  toPath,
} from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';

const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW, O_DIRECTORY, O_RDONLY } = fs.constants;

/** Paths longer than this are reached through a descriptor of a directory on the way (PATH_MAX is 4,096). */
const LONG_PATH = 3_000;

export interface WriteOptions {
  /** Give entries their recorded owner; takes root (or CAP_CHOWN). */
  readonly owner: boolean;
  /** Something could not be restored faithfully. */
  readonly warn: (path: ByteString, message: string) => void;
}

/**
 * Makes entries below a root that nobody else writes to. Names must have passed an EntryGate: parents are
 * real directories made before (see `directory`), so no path leads through a symlink. Nothing that exists
 * is ever opened or replaced: EEXIST becomes `RestoreRefused`.
 */
export class TreeWriter implements Disposable {
  readonly root: ByteString;
  readonly #options: WriteOptions;
  readonly #descriptors = new Map<ByteString, number>();

  constructor(root: string | Buffer, options: WriteOptions) {
    this.root = typeof root === 'string' ? fromText(root) : fromBuffer(root);
    this.#options = options;
  }

  /** Open to its owner only, until `finish` gives it its mode. One that is there already must be a real directory. */
  directory(path: ByteString): void {
    const location = this.locate(path);
    try {
      fs.mkdirSync(toPath(location), 0o700);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' || !fs.lstatSync(toPath(location)).isDirectory())
        throw made(error, path);
    }
  }

  /** Starts a new, empty file for writing and returns its descriptor. */
  create(path: ByteString): number {
    try {
      return fs.openSync(toPath(this.locate(path)), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
    } catch (error) {
      throw made(error, path);
    }
  }

  /** Opens a file that `create` made, to write a slice of it. */
  reopen(path: ByteString): number {
    return fs.openSync(toPath(this.locate(path)), O_WRONLY | O_NOFOLLOW);
  }

  symlink(entry: Entry): void {
    const location = this.locate(entry.path);
    try {
      fs.symlinkSync(toPath(entry.link!), toPath(location));
    } catch (error) {
      throw made(error, entry.path);
    }
    this.#own(entry, (uid, gid) => fs.lchownSync(toPath(location), uid, gid));
    this.#attributes(entry, location);
    setTimes(toBuffer(location), BigInt(entry.mtime), BigInt(entry.mtime));
  }

  /** Its parents and those of the earlier name must be directories of this archive; a symlink is linked, not followed. */
  hardlink(entry: Entry): void {
    try {
      fs.linkSync(toPath(this.locate(entry.link!)), toPath(this.locate(entry.path)));
    } catch (error) {
      throw made(error, entry.path);
    }
  }

  fifo(entry: Entry): void {
    const location = this.locate(entry.path);
    try {
      makeFifo(toBuffer(location), 0o600);
    } catch (error) {
      throw made(error, entry.path);
    }
    this.#own(entry, (uid, gid) => fs.lchownSync(toPath(location), uid, gid));
    fs.chmodSync(toPath(location), entry.mode);
    this.#attributes(entry, location);
    setTimes(toBuffer(location), BigInt(entry.mtime), BigInt(entry.mtime));
  }

  /** Metadata of a file whose content is complete; the descriptor stays open. */
  finishFile(entry: Entry, fd: number): void {
    // Ownership first: chown clears setuid and setgid.
    this.#own(entry, (uid, gid) => fs.fchownSync(fd, uid, gid));
    // Attributes before the mode: a read-only file takes none from its owner.
    if (entry.xattrs) this.#attributes(entry, this.locate(entry.path));
    if (entry.mode !== 0o600) fs.fchmodSync(fd, entry.mode);
    setTimesOf(fd, BigInt(entry.mtime), BigInt(entry.mtime));
  }

  /** Metadata of a directory whose content is complete. Deepest first. */
  finishDirectory(entry: Entry): void {
    const location = this.locate(entry.path);
    const path = toPath(location);
    this.#own(entry, (uid, gid) => fs.lchownSync(path, uid, gid));
    this.#attributes(entry, location);
    fs.chmodSync(path, entry.mode);
    setTimes(toBuffer(location), BigInt(entry.mtime), BigInt(entry.mtime));
  }

  /** Where the kernel finds an entry. */
  locate(path: ByteString): ByteString {
    const whole = path === '' ? this.root : join(this.root, path);
    if (whole.length < LONG_PATH) return whole;
    const cut = path.lastIndexOf('/');
    if (cut === -1) return whole;
    // Some directory on the way, at most LONG_PATH above, then the rest below its descriptor.
    let anchor = cut;
    while (path.length - anchor < LONG_PATH / 2) {
      const higher = path.lastIndexOf('/', anchor - 1);
      if (higher <= 0) break;
      anchor = higher;
    }
    const directory = path.slice(0, anchor) as ByteString;
    return `/proc/self/fd/${this.#descriptor(directory)}/${path.slice(anchor + 1)}` as ByteString;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#descriptors.values()) fs.closeSync(fd);
    this.#descriptors.clear();
  }

  #descriptor(directory: ByteString): number {
    const known = this.#descriptors.get(directory);
    if (known !== undefined) {
      this.#descriptors.delete(directory);
      this.#descriptors.set(directory, known);
      return known;
    }
    const fd = fs.openSync(toPath(this.locate(directory)), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    this.#descriptors.set(directory, fd);
    if (this.#descriptors.size > 64) {
      const [oldest, descriptor] = this.#descriptors.entries().next().value!;
      this.#descriptors.delete(oldest);
      fs.closeSync(descriptor);
    }
    return fd;
  }

  #own(entry: Entry, chown: (uid: number, gid: number) => void): void {
    if (!this.#options.owner) return;
    chown(entry.uid, entry.gid);
  }

  #attributes(entry: Entry, location: ByteString): void {
    for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
      const outcome = setXattr(toBuffer(location), name, Buffer.from(value, 'base64'));
      if (outcome !== 'done') {
        const why =
          outcome === 'unsupported' ? 'the file system takes none of its kind' : 'this takes more rights';
        this.#options.warn(
          entry.path,
          `extended attribute ${display(name as ByteString, 80)} not restored: ${why}`,
        );
      }
    }
  }
}

/** Writes one file's content as it comes, checks size and digest, and finishes it. */
export class FileSink {
  readonly #writer: TreeWriter;
  readonly #entry: Entry;
  readonly #fd: number;
  #hash: Hash | undefined;
  #digest: string | undefined;
  #position = 0;

  constructor(writer: TreeWriter, entry: Entry) {
    this.#writer = writer;
    this.#entry = entry;
    this.#fd = writer.create(entry.path);
  }

  /** In order; what `offset` jumps over stays a hole. */
  write(chunk: Buffer, offset: number): void {
    writeAll(this.#fd, chunk, offset);
    if (this.#entry.sha256 !== undefined) {
      if (offset === 0 && chunk.length === this.#entry.size) this.#digest = hash('sha256', chunk, 'hex');
      else {
        this.#hash ??= createHash('sha256');
        hashZeros(this.#hash, offset - this.#position);
        this.#hash.update(chunk);
      }
    }
    this.#position = offset + chunk.length;
  }

  /** Throws `ArchiveCorrupt` where the content has not the recorded digest. */
  finish(): void {
    const { size, sha256 } = this.#entry;
    if (this.#position < size) fs.ftruncateSync(this.#fd, size);
    if (sha256 !== undefined && !this.#digest) {
      this.#hash ??= createHash('sha256');
      hashZeros(this.#hash, size - this.#position);
      this.#digest = this.#hash.digest('hex');
    }
    if (this.#digest !== sha256) throw badDigest(this.#entry);
    this.#writer.finishFile(this.#entry, this.#fd);
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}

export function badDigest(entry: Entry): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `'${display(entry.path)}' does not match its recorded digest`);
}

const zeros = Buffer.alloc(1 << 20);

export function hashZeros(hash: Hash, count: number): void {
  for (let left = count; left > 0; left -= zeros.length)
    hash.update(zeros.subarray(0, Math.min(left, zeros.length)));
}

export function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

function made(error: unknown, path: ByteString): unknown {
  const code = codeOf(error);
  if (code !== 'EEXIST' && code !== 'ENOTDIR') return error;
  return new ArchiveError(
    'RestoreRefused',
    `refused: '${display(path)}' is there already, or lies below what is no directory`,
    {
      cause: error,
    },
  );
}

/** The bytes of a path given as text or bytes. */
export function pathBytes(path: string | Uint8Array): ByteString {
  const taken = nodePath(path);
  return typeof taken === 'string' ? fromText(taken) : fromBuffer(taken);
}
