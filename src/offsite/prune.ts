/** Applies retention to the copies of a series, then sweeps the packs that no list names any more. */
import { ArchiveError } from '../archive/index.ts';
import { planRetention, type RetentionDecision, type RetentionPolicy } from '../retention/index.ts';
import { readCatalog, writeCatalog } from './catalog.ts';
import { readDead, writeDead } from './dead-packs.ts';
import {
  indexKey,
  listKey,
  manifestKey,
  seriesPrefix,
  suspicionKey,
  writerOfCatalog,
  writerOfPack,
} from './keys.ts';
import { type ArchiveList, allRuns } from './list-file.ts';
import type { Location } from './location.ts';
import { listedArchives, listPacks, readList } from './stored-archives.ts';
import { suspiciousCopies } from './suspicions.ts';

export interface PruneCopiesOptions {
  readonly location: Location;
  readonly series: string;
  readonly policy: RetentionPolicy;
  /** Whose copies and packs are looked at: those of other writers are left alone. */
  readonly writer: string;
  /** Also those of writers that no longer write: a destination that was lost. */
  readonly takeOver: boolean;
  /** Path of an archive in the destination that was copied, to learn of approvals; absent where it is not known. */
  readonly localOf?: ((archive: string) => string) | undefined;
  /** How long a pack must have been dead, and how old it must be, before it is deleted; milliseconds. */
  readonly graceMs: number;
  readonly now: Date;
  readonly dryRun: boolean;
}

export interface PruneCopiesReport {
  readonly rows: readonly RetentionDecision[];
  /** Copies whose list was deleted. */
  readonly pruned: readonly string[];
  /** What could not be deleted, with the reason: locked, or no permission. */
  readonly failures: readonly string[];
  /** Copies of other writers, which no rule here applies to. */
  readonly foreign: number;
  /** Copies that remain, of all writers, and the bytes of their archives. */
  readonly kept: { readonly count: number; readonly bytes: number };
  readonly sweptPacks: number;
  readonly sweptBytes: number;
  /** Packs that nothing names, and that wait for the grace time. */
  readonly deadPacks: number;
  /** Why no pack was swept; undefined where the sweep was made. */
  readonly notSwept: string | undefined;
}

interface Copy {
  readonly archive: string;
  /** Undefined: its list cannot be read, so nobody knows which packs it names. */
  readonly list: ArchiveList | undefined;
}

type Swept = Pick<PruneCopiesReport, 'sweptPacks' | 'sweptBytes' | 'deadPacks' | 'notSwept'>;

/**
 * The list of a copy goes first, so that what remains is never called a copy. A pack is deleted only when two witnesses
 * call it dead: no list names it now, and none did at a sweep before the grace time; and the catalogs confirm that the
 * listing left no copy out.
 * @throws {ArchiveError} what the location throws, except refused deletes: those are in the report.
 */
export async function pruneCopies(options: PruneCopiesOptions): Promise<PruneCopiesReport> {
  const { location, series, policy, writer, takeOver, now, dryRun } = options;
  const found = await findCopies(location, series);
  const isOurs = ({ list }: Copy) => takeOver || list === undefined || list.writer === writer;
  const ours = found.copies.filter(isOurs);
  const foreign = found.copies.length - ours.length;
  const suspicious = await suspiciousCopies(location, series, options.localOf, dryRun);
  const rows = planRetention(
    ours.map((copy) => ({ ...retentionOf(copy), isSuspicious: suspicious.has(copy.archive) })),
    policy,
    now.getTime(),
  );
  const surplus = new Set(rows.filter(({ keep }) => !keep).map(({ name }) => name));
  const nothing = { sweptPacks: 0, sweptBytes: 0, deadPacks: 0 };
  if (dryRun) {
    const kept = totalOf(found.copies.filter(({ archive }) => !surplus.has(archive)));
    return { rows, pruned: [...surplus], failures: [], foreign, kept, ...nothing, notSwept: 'dry run' };
  }
  const pruned = new Set<string>();
  const failures: string[] = [];
  for (const copy of ours.filter(({ archive }) => surplus.has(archive))) {
    if (await tryDelete(() => deleteCopy(location, series, copy), failures)) pruned.add(copy.archive);
  }
  const kept = found.copies.filter(({ archive }) => !pruned.has(archive));
  await writeCatalog(location, series, writer, new Set(kept.filter(isOurs).map(({ archive }) => archive)));
  const notSwept = whyNotSweep(location, writer, found, kept);
  const swept: Swept =
    notSwept === undefined ? await sweep(options, kept, failures) : { ...nothing, notSwept };
  return { rows, pruned: [...pruned], failures, foreign, kept: totalOf(kept), ...swept };
}

const totalOf = (copies: readonly Copy[]) => ({
  count: copies.length,
  bytes: copies.reduce((sum, { list }) => sum + (list?.sizeBytes ?? 0), 0),
});

interface FoundCopies {
  readonly copies: readonly Copy[];
  /** Copies that the listing left out. */
  readonly missing: readonly string[];
  /** Writers that have a catalog. */
  readonly writers: ReadonlySet<string>;
}

/** Every copy of the series, by the listing and by the catalogs of all writers. */
async function findCopies(location: Location, series: string): Promise<FoundCopies> {
  const listed = new Set((await listedArchives(location, series)).map(({ archive }) => archive));
  const writers = new Set<string>();
  for await (const { key } of location.list(seriesPrefix(series))) {
    const writer = writerOfCatalog(series, key);
    if (writer !== undefined) writers.add(writer);
  }
  const catalogs = await Promise.all(
    [...writers].map(async (writer) => (await readCatalog(location, series, writer)) ?? new Set<string>()),
  );
  const missing: string[] = [];
  const copies: Copy[] = [];
  for (const archive of catalogs.reduce((all, catalog) => all.union(catalog), listed)) {
    const list = await listOrNothing(location, series, archive);
    if (list === 'absent') continue;
    if (!listed.has(archive)) missing.push(archive);
    copies.push({ archive, list });
  }
  return { copies, missing, writers };
}

async function listOrNothing(
  location: Location,
  series: string,
  archive: string,
): Promise<ArchiveList | undefined | 'absent'> {
  try {
    return (await readList(location, series, archive)) ?? 'absent';
  } catch (error) {
    if (error instanceof ArchiveError && error.reason === 'ArchiveCorrupt') return undefined;
    throw error;
  }
}

function retentionOf({ archive, list }: Copy) {
  return {
    name: archive,
    timestampMs: list ? Date.parse(list.startedAt) : null,
    class: list ? (list.isComplete ? ('complete' as const) : ('incomplete' as const)) : ('corrupt' as const),
    sizeBytes: list?.sizeBytes ?? 0,
  };
}

/** Without the catalog, or with one that contradicts the listing, nobody knows which packs are in use. */
function whyNotSweep(
  { url }: Location,
  writer: string,
  { copies, missing, writers }: FoundCopies,
  kept: readonly Copy[],
): string | undefined {
  const [first] = missing;
  if (first !== undefined) {
    return `the listing of ${url} left out ${missing.length} copies that are there, such as ${first}`;
  }
  if (!writers.has(writer) && copies.some(({ list }) => list?.writer === writer)) {
    return `the catalog of this writer was missing in ${url}; it was written again, and the next prune sweeps`;
  }
  const unreadable = kept.find(({ list }) => list === undefined);
  return (
    unreadable && `the list of ${unreadable.archive} cannot be read, so nobody knows which packs it names`
  );
}

async function deleteCopy(location: Location, series: string, { archive, list }: Copy): Promise<void> {
  await location.delete(listKey(series, archive));
  await location.delete(suspicionKey(series, archive));
  await location.delete(indexKey(series, archive));
  for (let part = 0; part < (list?.manifestParts ?? 1); part++) {
    await location.delete(manifestKey(series, archive, part, list?.isSealed ?? false));
  }
}

/** A lock or a missing permission concerns one object; the others are tried all the same. */
async function tryDelete(remove: () => Promise<void>, failures: string[]): Promise<boolean> {
  try {
    await remove();
    return true;
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.reason !== 'LocationDenied') throw error;
    failures.push(error.message);
    return false;
  }
}

async function sweep(
  { location, series, writer, takeOver, graceMs, now }: PruneCopiesOptions,
  copies: readonly Copy[],
  failures: string[],
): Promise<Swept> {
  const named = new Set(copies.flatMap(({ list }) => (list ? allRuns(list).map(({ pack }) => pack) : [])));
  const before = await readDead(location, series, writer);
  const dead = new Map<string, string>();
  const old = now.getTime() - graceMs;
  let sweptPacks = 0;
  let sweptBytes = 0;
  for await (const { key, pack, sizeBytes, modifiedAt } of listPacks(location, series)) {
    if (named.has(pack) || (!takeOver && writerOfPack(pack) !== writer)) continue;
    const since = before.get(pack);
    const isDue = since !== undefined && Date.parse(since) <= old && modifiedAt.getTime() <= old;
    if (isDue && (await tryDelete(() => location.delete(key), failures))) {
      sweptPacks++;
      sweptBytes += sizeBytes;
    } else dead.set(pack, since ?? now.toISOString());
  }
  await writeDead(location, series, writer, dead);
  return { sweptPacks, sweptBytes, deadPacks: dead.size, notSwept: undefined };
}
