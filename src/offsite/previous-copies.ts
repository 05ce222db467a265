/** What the newest copies of a series have stored that the next one can use again. */
import { ArchiveError, readMemberLines } from '../archive/index.ts';
import { KnownMembers } from './known-members.ts';
import type { Location } from './location.ts';
import { isOfSalt, MemberDigests, placedMembers } from './member-index.ts';
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
      for (const member of placedMembers(index, list.runs, where)) {
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

/**
 * The packs of which the next archive uses at least half. Members of all others count as new, so that old packs die
 * without anybody reading them.
 */
export async function packsWorthKeeping(
  manifest: string,
  { salt }: Writer,
  known: KnownMembers,
  packSizes: ReadonlyMap<string, number>,
): Promise<ReadonlySet<string>> {
  const used = new Map<string, number>();
  if (known.size === 0) return new Set();
  const digests = new MemberDigests(salt);
  for await (const { member } of readMemberLines(manifest)) {
    const place = known.get(digests.of(member.sha256));
    if (place) used.set(place.pack, (used.get(place.pack) ?? 0) + member.size);
  }
  return new Set(
    used
      .entries()
      .filter(([pack, bytes]) => 2 * bytes >= (packSizes.get(pack) ?? Number.POSITIVE_INFINITY))
      .map(([pack]) => pack),
  );
}
