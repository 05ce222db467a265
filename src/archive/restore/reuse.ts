import fs from 'node:fs';
import { cloneFile } from '../../posix/clone.ts';
import { copyRange } from '../../posix/copy-range.ts';
import { dataExtents } from '../../posix/extents.ts';
import { type FileStatus, statusOf, statusOfOpen } from '../../posix/status.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { type ByteString, fromText } from '../format/byte-string.ts';
import { dataBytes, type Entry } from '../format/entry.ts';
import { isOwnName } from '../format/names.ts';
import { isUnchanged } from './compare-entry.ts';
import { DeepPaths } from './deep-paths.ts';
import type { TreeWriter } from './tree-writer.ts';

/** How files that did not change get from the live tree into the staged one. Travels to worker threads. */
export interface ReuseSettings {
  /** Root of the live tree. */
  readonly live: string;
  /** See `settledBefore`. */
  readonly settled: bigint;
  readonly clone: boolean;
  /** Copy the content of large files within the kernel where it cannot be cloned, instead of decompressing it. */
  readonly copy: boolean;
  /** Copy small files, too: what is copied need not be fetched. */
  readonly copySmall: boolean;
  /** The old state is not kept and nobody writes, so that both trees may hold the same files. */
  readonly link: boolean;
}

const flags = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
const { S_IFMT, S_IFREG } = fs.constants;

/** Live trees whose file system has refused to share blocks, so that each thread tries once. */
const unclonable = new Set<string>();

/** Takes unchanged files over from the live tree. */
export class Reuse implements Disposable {
  /** Bytes that were taken over without being written. */
  bytes = 0;
  readonly #settings: ReuseSettings;
  readonly #live: DeepPaths;
  readonly #writer: TreeWriter;
  #clones: boolean;

  constructor(settings: ReuseSettings, writer: TreeWriter) {
    this.#settings = settings;
    this.#live = new DeepPaths(fromText(settings.live));
    this.#writer = writer;
    this.#clones = settings.clone && !unclonable.has(settings.live);
  }

  /**
   * Creates the file of an entry from the live one, metadata included.
   *
   * @param restored The same entry as it is to be restored.
   * @returns Whether it was created; if not, nothing was.
   */
  take(recorded: Entry, restored: Entry): boolean {
    if (recorded.type !== 'file' || recorded.inconsistent) return false;
    const { link, copySmall } = this.#settings;
    // Small files are unpacked faster: a member brings many of them at once.
    const copy = copySmall || (this.#settings.copy && recorded.parts !== undefined);
    if (!this.#clones && !copy) return link && this.#takeLinked(recorded, restored);
    const fd = this.#open(recorded.path);
    if (fd === undefined) return false;
    try {
      if (!this.#isUnchanged(recorded, statusOfOpen(fd))) return false;
      const shared = this.#fill(recorded, restored, fd, this.#clone) || this.#link(recorded, restored);
      if (shared) this.bytes += dataBytes(recorded);
      return shared || (copy && this.#fill(recorded, restored, fd, copyContent));
    } finally {
      fs.closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    this.#live[Symbol.dispose]();
  }

  #open(path: ByteString): number | undefined {
    try {
      return fs.openSync(this.#live.at(path), flags);
    } catch (error) {
      // Missing, not readable, or something else by now: the archive has it.
      if (isSystemError(error)) return undefined;
      throw error;
    }
  }

  /** Nobody writes while files are linked, so the file need not be held open. */
  #takeLinked(recorded: Entry, restored: Entry): boolean {
    let status: FileStatus | undefined;
    try {
      status = statusOf(this.#live.locate(recorded.path));
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
    const linked = status && this.#isUnchanged(recorded, status) && this.#link(recorded, restored);
    if (linked) this.bytes += dataBytes(recorded);
    return linked ?? false;
  }

  #isUnchanged(recorded: Entry, status: FileStatus): boolean {
    const type = (status.mode & S_IFMT) === S_IFREG ? 'file' : 'socket';
    return isUnchanged(recorded, { ...status, type }, this.#settings.settled);
  }

  readonly #clone = (from: number, to: number): boolean => {
    this.#clones = cloneFile(from, to) === 'done';
    if (!this.#clones) unclonable.add(this.#settings.live);
    return this.#clones;
  };

  /** Makes a file of its own with the content of the live one. */
  #fill(
    recorded: Entry,
    restored: Entry,
    from: number,
    how: (from: number, to: number, size: number) => boolean,
  ): boolean {
    if (how === this.#clone && !this.#clones) return false;
    const to = this.#writer.create(restored.path);
    let done = false;
    try {
      // Someone may have written to it meanwhile.
      done = how(from, to, recorded.size) && this.#isUnchanged(recorded, statusOfOpen(from));
      if (done) this.#writer.finishFile(restored, to);
    } finally {
      fs.closeSync(to);
      if (!done) this.#writer.removeFile(restored.path);
    }
    return done;
  }

  /** The file keeps its metadata, which did not change either, and whatever else it is. */
  #link(recorded: Entry, restored: Entry): boolean {
    const { path } = recorded;
    // An archive moves from the old tree into the new one, which takes two files.
    if (!this.#settings.link || recorded !== restored || isOwnName(path.slice(path.lastIndexOf('/') + 1))) {
      return false;
    }
    try {
      this.#writer.linkFrom(this.#live.at(path), path);
      return true;
    } catch (error) {
      // Too many links, or a file of another user that may not be linked.
      if (isSystemError(error)) return false;
      throw error;
    }
  }
}

/** Copies the data of a file, and leaves its holes. */
function copyContent(from: number, to: number, size: number): boolean {
  try {
    fs.ftruncateSync(to, size);
    return dataExtents(from, size).every(
      ({ offset, length }) => copyRange(from, offset, to, offset, length) === length,
    );
  } catch (error) {
    // A file that the disk no longer gives back is in the archive.
    if (codeOf(error) === 'EIO') return false;
    throw error;
  }
}
