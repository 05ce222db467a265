/** Reads pieces of archives pack by pack: each pack is fetched, checked and decrypted once, however often it is used. */
import { ArchiveError } from '../archive/index.ts';
import type { Opener } from './age.ts';
import { packsPrefix } from './keys.ts';
import type { Run } from './list-file.ts';
import type { Location } from './location.ts';
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

export interface PackSource {
  readonly location: Location;
  readonly series: string;
  readonly opener: Opener | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gives each piece with its bytes, in the order of the packs' first use. One pack is fetched ahead.
 * @returns how many packs were fetched
 * @throws {ArchiveError} PackMissing when a pack is not there or too short; ArchiveCorrupt, IdentityMismatch.
 */
export async function readPieces(
  source: PackSource,
  pieces: readonly Piece[],
  each: (piece: Piece, bytes: Buffer) => void,
): Promise<number> {
  const byPack = [...Map.groupBy(pieces, ({ pack }) => pack)];
  const start = (index: number) => {
    const [pack] = byPack[index] ?? [];
    if (pack === undefined) return undefined;
    const fetching = fetchPack(source, pack);
    // Handled when its turn comes.
    fetching.catch(() => {});
    return fetching;
  };
  let next = start(0);
  for (const [index, [pack, wanted]] of byPack.entries()) {
    source.signal?.throwIfAborted();
    const plain = await next!;
    next = start(index + 1);
    for (const piece of wanted) {
      const end = piece.offset + piece.length;
      if (end > plain.length) {
        throw new ArchiveError(
          'PackMissing',
          `${source.location.url}: pack ${packsPrefix(source.series)}${pack} has ${plain.length} bytes, but the list needs ${end}. It was cut or replaced.`,
        );
      }
      each(piece, plain.subarray(piece.offset, end));
    }
  }
  return byPack.length;
}

async function fetchPack({ location, series, opener }: PackSource, pack: string): Promise<Buffer> {
  const key = packsPrefix(series) + pack;
  const bytes = await location.get(key);
  if (!bytes) {
    throw new ArchiveError(
      'PackMissing',
      `${location.url}: pack ${key} is missing. Archives that need it cannot be restored from here; the next copy uploads its members again.`,
    );
  }
  return await openObject(key, bytes, opener, location.url);
}
