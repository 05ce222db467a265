import type { FileStatus } from '../../posix/status.ts';
import type { ByteString } from '../format/byte-string.ts';

/** What a directory looked like when its names were read. */
export interface Listing {
  readonly path: ByteString;
  /** `inodeTag` of the directory, and of the entries in it that were found. */
  readonly inode: number;
  readonly inodes: ReadonlySet<number>;
}

/** How many numbers of each directory come before those of its entries. */
const HEAD = { shared: 0, rest: 1, inode: 2, count: 3, length: 4 } as const;

/**
 * The listings of a whole tree in little memory: about 40 bytes for each directory and 4 for each entry. Of each
 * path, only the part that differs from the path before is kept.
 */
export class ListingLog {
  #names = Buffer.alloc(4096);
  #namesUsed = 0;
  #numbers = new Uint32Array(4096);
  #numbersUsed = 0;
  #times = new Float64Array(256);
  #count = 0;
  #last = '';
  #longest = 0;

  add(path: ByteString, { ctime, inodeTag }: FileStatus, inodes: readonly number[]): void {
    const shared = sharedLength(this.#last, path);
    const rest = path.length - shared;
    this.#last = path;
    this.#longest = Math.max(this.#longest, path.length);
    if (this.#namesUsed + rest > this.#names.length) {
      this.#names = Buffer.concat([this.#names], 2 * this.#names.length + rest);
    }
    if (this.#numbersUsed + HEAD.length + inodes.length > this.#numbers.length) {
      const larger = new Uint32Array(2 * this.#numbers.length + HEAD.length + inodes.length);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    if (this.#count === this.#times.length) {
      const larger = new Float64Array(2 * this.#times.length);
      larger.set(this.#times);
      this.#times = larger;
    }
    this.#names.write(path.slice(shared), this.#namesUsed, 'latin1');
    this.#namesUsed += rest;
    const numbers = this.#numbers;
    let at = this.#numbersUsed;
    numbers[at + HEAD.shared] = shared;
    numbers[at + HEAD.rest] = rest;
    numbers[at + HEAD.inode] = inodeTag;
    numbers[at + HEAD.count] = inodes.length;
    at += HEAD.length;
    for (const inode of inodes) numbers[at++] = inode;
    this.#numbersUsed = at;
    this.#times[this.#count++] = Number(ctime);
  }

  /**
   * Yields the listings that fail a test; nearly all pass it.
   * @param passes gets the path NUL-terminated, as the kernel takes it, and the change time in nanoseconds,
   *   accurate to 256
   */
  *except(passes: (path: Uint8Array, ctime: number) => boolean): Generator<Listing> {
    const numbers = this.#numbers;
    const path = Buffer.alloc(this.#longest + 1);
    for (let index = 0, at = 0, name = 0; index < this.#count; index++) {
      const shared = numbers[at + HEAD.shared]!;
      const rest = numbers[at + HEAD.rest]!;
      this.#names.copy(path, shared, name, name + rest);
      path[shared + rest] = 0;
      name += rest;
      const start = at + HEAD.length;
      const end = start + numbers[at + HEAD.count]!;
      if (!passes(path, this.#times[index]!)) {
        yield {
          path: path.toString('latin1', 0, shared + rest) as ByteString,
          inode: numbers[at + HEAD.inode]!,
          inodes: new Set(numbers.subarray(start, end)),
        };
      }
      at = end;
    }
  }
}

function sharedLength(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  let i = 0;
  while (i < length && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  return i;
}
