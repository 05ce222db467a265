import { type ByteString, display } from './byte-string.ts';
import type { Entry, Extent } from './entry.ts';
import { corrupt, parseDecimal, readNumber } from './tar-fields.ts';

/** The maps of sparse files: GNU's old format, and its pax formats 0.0, 0.1 and 1.0. */

export const MAX_EXTENTS = 4 * 1024 * 1024;

/** Adds the extents that a block of the old format holds, up to the first empty one. */
export function readOldExtents(
  block: Buffer,
  start: number,
  count: number,
  extents: Extent[],
  at: number,
): void {
  for (let i = 0; i < count; i++) {
    const position = start + 24 * i;
    if (block[position] === 0) return;
    extents.push([
      readNumber(block, position, 12, 'sparse offset', at),
      readNumber(block, position + 12, 12, 'sparse length', at),
    ]);
  }
  if (extents.length > MAX_EXTENTS) throw corrupt(at, 'a sparse map without end');
}

/** Formats 0.0 (pairs of records) and 0.1 (one record with commas). */
export function pairedExtents(pairs: readonly number[], map: string | undefined, at: number): Extent[] {
  const numbers =
    map === undefined || map === ''
      ? map === ''
        ? []
        : pairs
      : map.split(',').map((text) => parseDecimal(text, 'sparse map', at));
  if (numbers.length % 2 !== 0) throw corrupt(at, 'an odd sparse map');
  const extents: Extent[] = [];
  for (let i = 0; i < numbers.length; i += 2) extents.push([numbers[i]!, numbers[i + 1]!]);
  return extents;
}

/** The text of format 1.0, block by block: a count, then two lines for each extent. */
export class SparseMapText {
  readonly #blocks: Buffer[] = [];
  #lines = 0;
  #lastLine: number | undefined;

  /** The extents once the map is complete. */
  add(block: Buffer, at: number): Extent[] | undefined {
    this.#blocks.push(Buffer.from(block));
    for (const byte of block) if (byte === 0x0a) this.#lines++;
    this.#lastLine ??= lastLineOf(block, at);
    return this.#lines < this.#lastLine ? undefined : parseMap(Buffer.concat(this.#blocks), at);
  }

  get length(): number {
    return this.#blocks.length * 512;
  }
}

function lastLineOf(first: Buffer, at: number): number {
  const count = parseDecimal(first.toString('latin1', 0, first.indexOf(0x0a)), 'sparse map', at);
  if (count > MAX_EXTENTS) throw corrupt(at, `a sparse map of ${count} extents`);
  return 1 + 2 * count;
}

function parseMap(map: Buffer, at: number): Extent[] {
  const [count, ...numbers] = map.toString('latin1').split('\n');
  const extents: Extent[] = [];
  for (let i = 0; i < Number(count); i++) {
    extents.push([
      parseDecimal(numbers[2 * i], 'sparse map', at),
      parseDecimal(numbers[2 * i + 1], 'sparse map', at),
    ]);
  }
  return extents;
}

/**
 * The entry with its extents, empty ones left out.
 * @param packed bytes of its data in the tar.
 * @throws {ArchiveError} ArchiveCorrupt when the extents overlap, pass the end of the file, or do not add up.
 */
export function sparseEntry(
  entry: Entry,
  size: number,
  packed: number,
  all: readonly Extent[],
  at: number,
): Entry & { readonly extents: readonly Extent[] } {
  const name = () => display(entry.path as ByteString);
  let end = 0;
  let data = 0;
  for (const [offset, length] of all) {
    if (offset < end || offset + length > size)
      throw corrupt(at, `'${name()}' has a sparse map that overlaps`);
    end = offset + length;
    data += length;
  }
  if (data !== packed) throw corrupt(at, `'${name()}' has a sparse map of ${data} bytes for ${packed}`);
  return { ...entry, size, extents: all.filter(([, length]) => length > 0) };
}
