import { createHash, type Hash, hash } from 'node:crypto';
import fs from 'node:fs';
import { makeFifo } from '../../posix/fifo.ts';
import { codeOf } from '../../posix/system-error.ts';
import { setTimes, setTimesOf } from '../../posix/times.ts';
import { setXattr } from '../../posix/xattr.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromBuffer, fromText, toBuffer, toPath } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { DeepPaths } from './deep-paths.ts';

const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;

export interface WriteOptions {
  /** Set the recorded owner. Takes CAP_CHOWN. */
  readonly owner: boolean;
  /** Something could not be restored faithfully. */
  readonly warn: (path: ByteString, message: string) => void;
}

/**
 * Creates entries below a root that nobody else writes to. Names must have passed an EntryGate: parents are
 * real directories created before (see `directory`), so no path leads through a symlink. Nothing that exists
 * is ever opened or replaced.
 *
 * Methods throw {ArchiveError} RestoreRefused when the name is taken.
 */
export class TreeWriter implements Disposable {
  readonly #paths: DeepPaths;
  /** Separate, because locating a second path may close what the first one goes through. */
  readonly #linkTargets: DeepPaths;
  readonly #options: WriteOptions;

  constructor(root: string | Buffer, options: WriteOptions) {
    this.#paths = new DeepPaths(typeof root === 'string' ? fromText(root) : fromBuffer(root));
    this.#linkTargets = new DeepPaths(this.#paths.root);
    this.#options = options;
  }

  /** Creates a directory, open to its owner only until `finishDirectory` sets its mode. An existing one is kept if it is a real directory. */
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

  /** Opens a file that `create` created, to write a slice of it. */
  reopen(path: ByteString): number {
    return fs.openSync(toPath(this.locate(path)), O_WRONLY | O_NOFOLLOW);
  }

  /** Undoes `create`. */
  removeFile(path: ByteString): void {
    fs.unlinkSync(toPath(this.locate(path)));
  }

  /** Makes a name for a file outside the root. */
  linkFrom(file: string | Buffer, path: ByteString): void {
    fs.linkSync(file, toPath(this.locate(path)));
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

  /** The parents of both names must be directories of this archive. A symlink is linked, not followed. */
  hardlink(entry: Entry): void {
    try {
      fs.linkSync(this.#linkTargets.at(entry.link!), this.#paths.at(entry.path));
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

  /** Sets the metadata of a file whose content is complete. The descriptor stays open. */
  finishFile(entry: Entry, fd: number): void {
    // Ownership first: chown clears setuid and setgid.
    this.#own(entry, (uid, gid) => fs.fchownSync(fd, uid, gid));
    // Attributes before the mode: not even its owner can set attributes of a read-only file.
    if (entry.xattrs) this.#attributes(entry, this.locate(entry.path));
    if (entry.mode !== 0o600) fs.fchmodSync(fd, entry.mode);
    setTimesOf(fd, BigInt(entry.mtime), BigInt(entry.mtime));
  }

  /** Sets the metadata of a directory whose content is complete. Call it for the deepest directories first. */
  finishDirectory(entry: Entry): void {
    const location = this.locate(entry.path);
    const path = toPath(location);
    this.#own(entry, (uid, gid) => fs.lchownSync(path, uid, gid));
    this.#attributes(entry, location);
    fs.chmodSync(path, entry.mode);
    setTimes(toBuffer(location), BigInt(entry.mtime), BigInt(entry.mtime));
  }

  /** A path for system calls, valid until the next call of this method. */
  locate(path: ByteString): ByteString {
    return this.#paths.locate(path);
  }

  [Symbol.dispose](): void {
    this.#paths[Symbol.dispose]();
    this.#linkTargets[Symbol.dispose]();
  }

  #own(entry: Entry, chown: (uid: number, gid: number) => void): void {
    if (!this.#options.owner) return;
    chown(entry.uid, entry.gid);
  }

  /** An attribute that the target does not take is a loss to report, not a reason to give up the restore. */
  #attributes(entry: Entry, location: ByteString): void {
    for (const [name, value] of Object.entries(entry.xattrs ?? {})) {
      const outcome = setXattr(toBuffer(location), name, Buffer.from(value, 'base64'));
      if (outcome === 'done') continue;
      this.#options.warn(
        entry.path,
        `extended attribute ${display(name as ByteString, 80)} not restored: ${whyRefused(outcome.refused)}`,
      );
    }
  }
}

function whyRefused(code: string): string {
  switch (code) {
    case 'ENOTSUP':
    case 'EOPNOTSUPP':
      return 'the file system does not support it';
    case 'EPERM':
    case 'EACCES':
      return 'this process lacks the rights to set it';
    case 'ENOSPC':
    case 'E2BIG':
    case 'ERANGE':
      return `it is too large for the file system (${code})`;
    default:
      return `the file system refused it (${code})`;
  }
}

/** Writes the content of one file as it arrives, checks its size and digest, and sets its metadata. */
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

  /** Chunks come in order. Bytes that `offset` skips stay a hole. */
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

  /** @throws {ArchiveError} ArchiveCorrupt when the content does not have the recorded digest. */
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
    `refused: '${display(path)}' already exists, or lies below something that is not a directory`,
    {
      cause: error,
    },
  );
}
