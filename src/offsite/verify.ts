/** Whether a copy can be restored: every pack is there with its length, or, deep, every byte is right. */
import { ArchiveError } from '../archive/index.ts';
import type { Opener } from './age.ts';
import { packsPrefix } from './keys.ts';
import type { Location } from './location.ts';
import { type ListedArchive, readList, sizesOfPacks } from './stored-archives.ts';
import { verifyContent } from './verify-content.ts';

export interface CopyVerification {
  readonly archive: string;
  readonly series: string;
  readonly sound: boolean;
  readonly against: 'lengths' | 'content';
  readonly packs: number;
  readonly bytes: number;
  /** What is wrong; undefined where it is sound. */
  readonly problem: string | undefined;
}

export interface VerifyCopyOptions {
  readonly location: Location;
  /** Read every byte; takes an identity where the copy is encrypted. */
  readonly deep: boolean;
  readonly opener?: Opener | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((bytes: number) => void) | undefined;
}

const VERDICTS: ReadonlySet<string> = new Set(['ArchiveCorrupt', 'PackMissing', 'CopyMissing']);

/** Checks copies one after the other; the packs of a location are listed once. */
export async function* verifyCopies(
  copies: readonly ListedArchive[],
  options: VerifyCopyOptions,
): AsyncGenerator<CopyVerification> {
  const sizes = new Map<string, Map<string, number>>();
  for (const { archive, series } of copies) {
    options.signal?.throwIfAborted();
    const against = options.deep ? 'content' : 'lengths';
    const base = { archive, series, against } as const;
    try {
      const known = sizes.get(series) ?? (await sizesOfPacks(options.location, series));
      sizes.set(series, known);
      yield { ...base, ...(await verify(archive, series, known, options)), sound: true, problem: undefined };
    } catch (error) {
      if (!(error instanceof ArchiveError) || !VERDICTS.has(error.reason)) throw error;
      yield { ...base, packs: 0, bytes: 0, sound: false, problem: error.message };
    }
  }
}

async function verify(
  archive: string,
  series: string,
  sizes: ReadonlyMap<string, number>,
  { location, deep, opener, signal, progress }: VerifyCopyOptions,
): Promise<{ packs: number; bytes: number }> {
  const list = await readList(location, series, archive);
  if (!list) throw new ArchiveError('CopyMissing', `${location.url} has no copy of ${archive}.`);
  for (const [pack, bytes] of list.packBytes) {
    // A listing may leave objects out: the pack itself has the last word.
    const there = sizes.get(pack) ?? (await location.head(packsPrefix(series) + pack))?.sizeBytes;
    if (there === bytes) continue;
    throw new ArchiveError(
      'PackMissing',
      there === undefined
        ? `pack ${packsPrefix(series)}${pack} is missing`
        : `pack ${packsPrefix(series)}${pack} has ${there} bytes, not ${bytes}`,
    );
  }
  if (deep) await verifyContent({ location, series, archive, opener, signal }, list, progress);
  return { packs: list.packBytes.size, bytes: list.sizeBytes };
}
