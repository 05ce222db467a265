import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants, fsync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { copyRange } from '../../posix/copy-range.ts';
import { startWriting } from '../../posix/sync.ts';
import { writeError } from '../errors.ts';

const sync = promisify(fsync);

/** How many new bytes to collect before telling the kernel to start writing them to the device. */
const WRITING_BYTES = 8 * 1024 * 1024;

export interface Mark {
  readonly position: number;
  readonly hash: Hash;
}

/** A new file that grows at its end, and the digest of its content. */
export class GrowingFile {
  readonly path: string;
  readonly fd: number;
  #position = 0;
  /** The kernel was told to write the bytes before this offset. */
  #writing = 0;
  #hash = createHash('sha256');
  #open = true;

  /**
   * Creates the file.
   * @throws {ArchiveError} when the name exists or cannot be created.
   */
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

  /**
   * Appends `bytes` by copying them from another file, so that a file system that can shares the blocks.
   * @param offset Where the same bytes are in the file `fd`.
   */
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

  /** Removes what was appended since the mark. */
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

  /** Calling it again does nothing. */
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
