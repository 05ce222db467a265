/** Which copy in a location is meant, by name, series and time. */
import { ArchiveError } from '../../archive/index.ts';
import {
  type ArchiveList,
  type FetchOptions,
  type ListedArchive,
  type Location,
  listedArchives,
  openLocation,
  readList,
} from '../../offsite/index.ts';
import type { CliContext } from './context.ts';
import {
  type CopyFlags,
  type IdentityFlags,
  type LocationFlags,
  openAt,
  openerFor,
} from './location-flags.ts';

export type Wanted = Pick<CopyFlags, 'archive' | 'series' | 'asOf'>;

/** A copy, its list, and what reading it takes. */
export interface ChosenCopy {
  readonly options: FetchOptions;
  readonly list: ArchiveList;
}

/** Opens a location and finds the copy that the flags mean. @throws {ArchiveError} as `chooseCopy` */
export async function chosenAt(url: string, flags: CopyFlags, context: CliContext): Promise<ChosenCopy> {
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  // At the same time, since each waits for the network. What is wrong with the location itself is said first.
  const choosing = chooseCopy(location, flags);
  choosing.catch(() => {});
  await openLocation(location);
  const list = await choosing;
  const { archive, series } = list;
  return { options: { location, archive, series, opener, signal: context.signal }, list };
}

/** The copies in a location, newest first, each with what reads it. */
export async function copiesIn(
  url: string,
  flags: LocationFlags & IdentityFlags & { readonly series?: string },
  context: CliContext,
): Promise<FetchOptions[]> {
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const copies = await listedArchives(location, flags.series);
  return copies.map(({ archive, series }) => ({ location, archive, series, opener, signal: context.signal }));
}

/**
 * The copy of that name; without a name the newest copy of a complete archive, at or before a time if one is given.
 * @throws {ArchiveError} CopyMissing when none fits; Usage when several series have one; ArchiveCorrupt when its list is
 *   damaged.
 */
export async function chooseCopy(location: Location, wanted: Wanted): Promise<ArchiveList> {
  const { archive: name, series, asOf } = wanted;
  const ofSeries = await listedArchives(location, series);
  const copies = ofSeries.filter(({ archive }) => name === undefined || archive === name);
  if (copies.length === 0) throw await noCopy(location, wanted, ofSeries.length > 0);
  const names = seriesNames(copies);
  if (names.length > 1) {
    throw new ArchiveError(
      'Usage',
      `${location.url} has several series that fit: name one (--series): ${names.join(', ')}.`,
    );
  }
  let oldest: string | undefined;
  for (const copy of copies) {
    const list = await readList(location, copy.series, copy.archive);
    // Deleted since it was listed.
    if (!list) continue;
    if (name !== undefined) return list;
    if (!list.isComplete) continue;
    if (asOf === undefined || Date.parse(list.startedAt) <= asOf.getTime()) return list;
    oldest = list.startedAt;
  }
  throw new ArchiveError(
    'CopyMissing',
    oldest !== undefined && asOf !== undefined
      ? `${location.url} has no copy of a complete archive at or before ${asOf.toISOString()}. The oldest is of ${oldest}.`
      : `${location.url} has no copy of a complete archive; ${copies.length} of archives that left files out can be named (--archive): ${copies[0]!.archive}.`,
  );
}

const seriesNames = (copies: readonly ListedArchive[]) =>
  [...new Set(copies.map(({ series }) => series))].sort().map((series) => series || '(none)');

/** Why no copy fits, with what there is instead. */
export async function noCopy(
  location: Location,
  { archive, series }: Wanted,
  seriesExists = false,
): Promise<ArchiveError> {
  const { url } = location;
  const of = archive === undefined ? '' : ` of ${archive}`;
  const where = series === undefined ? '' : ` in series ${series || '(none)'}`;
  const others = series === undefined || seriesExists ? [] : seriesNames(await listedArchives(location));
  const hint =
    others.length > 0
      ? `It has the series ${others.slice(0, 10).join(', ')}${others.length > 10 ? ` and ${others.length - 10} more` : ''}.`
      : `km-backup list ${url} shows what it has.`;
  return new ArchiveError('CopyMissing', `${url} has no copy${of}${where}. ${hint}`);
}
