/** Reads pieces of archives pack by pack: each pack is fetched and decrypted once, however often it is used. */
import { ArchiveError } from '../archive/index.ts';
import { hasWholeHeader, type Opener, type SealedPart } from './age.ts';
import { packsPrefix, SEALED_SUFFIX } from './keys.ts';
import type { ArchiveList, Run } from './list-file.ts';
import type { ByteRange, Location } from './location.ts';
import { openObject } from './stored-archives.ts';

/** A piece of a pack, and where it belongs in the archive. */
export interface Piece extends Run {
  readonly position: number;
}

/** The runs of a list with their positions. */
export function piecesOf(runs: readonly Run[]): Piece[] {
  let position = 0;
  return runs.map((run) => {
    const piece = { ...run, position };
    position += run.length;
    return piece;
  });
}

/**
 * The pieces of some ranges of what the runs make up.
 * @param ranges in order, each with its place in what is made of them
 * @throws {ArchiveError} ArchiveCorrupt when the runs end before
 */
export function piecesAt(
  runs: readonly Run[],
  ranges: Iterable<{ readonly offset: number; readonly length: number; readonly position: number }>,
  { location, archive }: { readonly location: Location; readonly archive: string },
): Piece[] {
  const pieces: Piece[] = [];
  let run = 0;
  let runStart = 0;
  for (const { offset, length, position } of ranges) {
    for (let done = 0; done < length; ) {
      const at = offset + done;
      while (runs[run] && runStart + runs[run]!.length <= at) runStart += runs[run++]!.length;
      const current = runs[run];
      if (!current)
        throw new ArchiveError('ArchiveCorrupt', `${location.url}: the list of ${archive} ends early.`);
      const skip = at - runStart;
      const part = Math.min(length - done, current.length - skip);
      pieces.push({
        pack: current.pack,
        offset: current.offset + skip,
        length: part,
        position: position + done,
      });
      done += part;
    }
  }
  return pieces;
}

export interface PackSource {
  readonly location: Location;
  readonly series: string;
  readonly opener: Opener | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Packs whose headers were read, by key: for whoever reads parts of a pack more than once. */
  readonly opened?: Map<string, SealedPart>;
}

/** Below this share of a pack, its pieces are fetched instead of the pack. */
const PART = 1 / 4;
/** Pieces of a pack that are closer than this are fetched together: a request costs as much. */
const GAP = 256 * 1024;
/** Holds the header of an age file with some 40 recipients. */
const HEAD = 8 * 1024;

/**
 * Gives each piece with its bytes, in the order of the packs' first use. One pack is fetched ahead.
 * @param packBytes bytes of each pack's object
 * @returns how many packs were read
 * @throws {ArchiveError} PackMissing when a pack is not there or too short; ArchiveCorrupt, IdentityMismatch.
 */
export async function readPieces(
  source: PackSource,
  { packBytes }: Pick<ArchiveList, 'packBytes'>,
  pieces: readonly Piece[],
  each: (piece: Piece, bytes: Buffer) => void,
): Promise<number> {
  const byPack = [...Map.groupBy(pieces, ({ pack }) => pack)];
  const start = (index: number): Promise<PackRead> | undefined => {
    const [pack, wanted] = byPack[index] ?? [];
    if (pack === undefined || wanted === undefined) return undefined;
    const size = packBytes.get(pack) ?? 0;
    const isPart = wanted.reduce((sum, { length }) => sum + length, 0) < PART * size;
    const reading = isPart ? readParts(source, pack, size, wanted) : readWhole(source, pack);
    // Handled when its turn comes.
    reading.catch(() => {});
    return reading;
  };
  let next = start(0);
  for (const [index, [pack, wanted]] of byPack.entries()) {
    source.signal?.throwIfAborted();
    const read = await next!;
    next = start(index + 1);
    for (const piece of wanted) {
      const bytes = read(piece);
      if (bytes.length !== piece.length) {
        throw new ArchiveError(
          'PackMissing',
          `${source.location.url}: pack ${packsPrefix(source.series)}${pack} ends before byte ${piece.offset + piece.length}, which the list needs. It was cut or replaced.`,
        );
      }
      each(piece, bytes);
    }
  }
  return byPack.length;
}

/** The bytes of a range; fewer where the pack ends before. */
type PackRead = (range: ByteRange) => Buffer;

async function readWhole(source: PackSource, pack: string): Promise<PackRead> {
  const { location, series, opener } = source;
  const key = packsPrefix(series) + pack;
  const bytes = await location.get(key);
  if (!bytes) throw missing(source, key);
  const plain = await openObject(key, bytes, opener, location.url);
  return ({ offset, length }) => plain.subarray(offset, offset + length);
}

async function readParts(
  source: PackSource,
  pack: string,
  sizeBytes: number,
  wanted: readonly Piece[],
): Promise<PackRead> {
  const { location, series, opener, opened } = source;
  const key = packsPrefix(series) + pack;
  const get = async (range: ByteRange) => {
    const bytes = await location.get(key, range);
    if (!bytes) throw missing(source, key);
    return bytes;
  };
  const what = `${location.url}: ${key}`;
  const isSealed = key.endsWith(SEALED_SUFFIX);
  // Without an identity the reader of whole objects has the words.
  if (isSealed && !opener) return await readWhole(source, pack);
  let sealed = opened?.get(key);
  if (isSealed && opener && !sealed) {
    const head = await get({ offset: 0, length: HEAD });
    if (!hasWholeHeader(head)) return await readWhole(source, pack);
    sealed = await opener.openPart(head, sizeBytes, what);
    opened?.set(key, sealed);
  }
  const parts: { readonly range: ByteRange; readonly bytes: Buffer }[] = [];
  for (const range of joined(wanted)) {
    const bytes = await get(sealed ? sealed.rangeOf(range) : range);
    parts.push({ range, bytes: sealed ? sealed.open(bytes, range) : bytes });
  }
  return ({ offset, length }) => {
    const part = parts.find(({ range }) => offset >= range.offset && offset < range.offset + range.length);
    const from = offset - (part?.range.offset ?? 0);
    return part?.bytes.subarray(from, from + length) ?? Buffer.alloc(0);
  };
}

/** Ranges that cover the pieces, in order, without small gaps. */
export function joined(pieces: readonly ByteRange[]): ByteRange[] {
  const ranges: { offset: number; length: number }[] = [];
  for (const { offset, length } of pieces.toSorted((a, b) => a.offset - b.offset)) {
    const last = ranges.at(-1);
    if (last && offset <= last.offset + last.length + GAP) {
      last.length = Math.max(last.length, offset + length - last.offset);
    } else ranges.push({ offset, length });
  }
  return ranges;
}

function missing({ location }: PackSource, key: string): ArchiveError {
  return new ArchiveError(
    'PackMissing',
    `${location.url}: pack ${key} is missing. Archives that need it cannot be restored from here; the next copy uploads its members again.`,
  );
}
