import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants, fsync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { copyRange } from '../../posix/copy-range.ts';
import { startWriting } from '../../posix/sync.ts';
import { writeError } from '../errors.ts';

const sync = promisify(fsync);

/** Bytes appended before the kernel is told to write them to the device. */
const WRITING_BYTES = 8 * 1024 * 1024;

export interface Mark {
  readonly position: number;
  readonly hash: Hash;
}

/** A new file that grows at its end, with the digest of all that it holds. */
export class GrowingFile {
  readonly path: string;
  readonly fd: number;
  #position = 0;
  /** Up to here the kernel was told to write. */
  #writing = 0;
  #hash = createHash('sha256');
  #open = true;

  /** Fails where the name exists. */
  constructor(path: string) {
    this.path = path;
    try {
      this.fd = openSync(
        path,
        constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
        0o640,
      );
    } catch (error) {
      throw writeError(error, path);
    }
  }

  get position(): number {
    return this.#position;
  }

  append(bytes: Uint8Array): void {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.fd, bytes, done, bytes.length - done, this.#position + done);
      }
    } catch (error) {
      throw writeError(error, this.path);
    }
    this.#grow(bytes);
  }

  /** Appends `bytes`, which lie in another file too: where the file system can, both files then share the blocks. */
  appendShared(bytes: Uint8Array, fd: number, offset: number): void {
    try {
      copyRange(fd, offset, this.fd, this.#position, bytes.length);
    } catch (error) {
      throw writeError(error, this.path);
    }
    this.#grow(bytes);
  }

  #grow(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#position += bytes.length;
    if (this.#position - this.#writing >= WRITING_BYTES) {
      startWriting(this.fd, this.#writing, this.#position - this.#writing);
      this.#writing = this.#position;
    }
  }

  mark(): Mark {
    return { position: this.#position, hash: this.#hash.copy() };
  }

  /** Forgets what was appended since. */
  rewind(mark: Mark): void {
    ftruncateSync(this.fd, mark.position);
    this.#position = mark.position;
    this.#writing = Math.min(this.#writing, mark.position);
    this.#hash = mark.hash.copy();
  }

  digest(): string {
    return this.#hash.copy().digest('hex');
  }

  async sync(): Promise<void> {
    try {
      await sync(this.fd);
    } catch (error) {
      throw writeError(error, this.path);
    }
  }

  /** Harmless when called again. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    try {
      closeSync(this.fd);
    } catch (error) {
      throw writeError(error, this.path);
    }
  }
}
