/** What the newest copies of a series have stored that the next one can use again. */
import { hash } from 'node:crypto';
import { ArchiveError, manifestPieces } from '../archive/index.ts';
import { KnownMembers } from './known-members.ts';
import { allRuns, type Run } from './list-file.ts';
import type { Location } from './location.ts';
import { isOfSalt, type MemberDigests, placedMembers } from './member-index.ts';
import { packsToKeep } from './pack-turnover.ts';
import { listedArchives, readIndex, readList } from './stored-archives.ts';
import type { Writer } from './writer-state.ts';

/** The newest list has nearly all members, a second one those of a short-lived change. */
const LISTS_READ = 2;

/**
 * Members of the newest copies that this writer made for the same recipients, as far as their packs are there in their
 * full length. Other recipients could not read them.
 */
export async function knownMembers(
  location: Location,
  series: string,
  { salt }: Writer,
  recipients: string,
  packSizes: ReadonlyMap<string, number>,
): Promise<KnownMembers> {
  const known = new KnownMembers();
  const lists = await listedArchives(location, series);
  let read = 0;
  for (const { archive } of lists) {
    if (read === LISTS_READ) break;
    const index = await readIndex(location, series, archive);
    if (!index || !isOfSalt(index, salt)) continue;
    try {
      const list = await readList(location, series, archive);
      if (list?.recipients !== recipients) continue;
      const where = `${location.url}: the index of ${archive}`;
      for (const member of placedMembers(index, allRuns(list), where)) {
        if (packSizes.get(member.pack) === list.packBytes.get(member.pack)) known.add(member);
      }
      read++;
    } catch (error) {
      // A damaged copy is a matter for `verify`: this one stores again what it cannot find.
      if (!(error instanceof ArchiveError) || error.reason !== 'ArchiveCorrupt') throw error;
    }
  }
  return known;
}

/** A manifest in more packs than this is stored again as a whole: reading it takes a request or two for each. */
const MANIFEST_PACKS = 16;

/** What the next copy takes from packs that are there. */
export interface Reusable {
  /** Members of all other packs count as new. */
  readonly packs: ReadonlySet<string>;
  /** Whether pieces of the manifest are taken, too. */
  readonly manifest: boolean;
}

/** @param manifest path of that of the next archive */
export async function reusable(
  manifest: string,
  digests: MemberDigests,
  known: KnownMembers,
  packSizes: ReadonlyMap<string, number>,
): Promise<Reusable> {
  if (known.size === 0) return { packs: new Set(), manifest: false };
  const used = new Map<string, number>();
  const manifestPacks = new Set<string>();
  const use = ({ pack, length }: Run) => used.set(pack, (used.get(pack) ?? 0) + length);
  let newBytes = 0;
  for await (const { text, members } of manifestPieces(manifest)) {
    for (const { member } of members) {
      const { sha256, size } = member;
      const place = known.get(digests.of(sha256));
      if (place) use(place);
      else newBytes += size;
    }
    const place = known.get(digestOfPiece(digests, text));
    if (place) {
      use(place);
      manifestPacks.add(place.pack);
    }
  }
  const uses = Array.from(used, ([pack, usedBytes]) => ({
    pack,
    usedBytes,
    sizeBytes: packSizes.get(pack)!,
  }));
  const packs = packsToKeep(uses, newBytes);
  return { packs, manifest: manifestPacks.intersection(packs).size < MANIFEST_PACKS };
}

/** The digest of a piece of a manifest, before it is compressed. */
export const digestOfPiece = (digests: MemberDigests, text: Uint8Array): Buffer =>
  digests.of(hash('sha256', text, 'hex'));
