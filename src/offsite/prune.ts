/** Applies retention to the copies of a series, then sweeps the packs that no list names any more. */
import { ArchiveError } from '../archive/index.ts';
import { planRetention, type RetentionDecision, type RetentionPolicy } from '../retention/index.ts';
import { readCatalog, writeCatalog } from './catalog.ts';
import { indexKey, listKey, manifestKey, packsPrefix, sweepKey, writerOfPack } from './keys.ts';
import type { ArchiveList } from './list-file.ts';
import type { Location } from './location.ts';
import { listedArchives, readList } from './stored-archives.ts';

export interface PruneCopiesOptions {
  readonly location: Location;
  readonly series: string;
  readonly policy: RetentionPolicy;
  /** Whose packs are swept: those of other writers are left alone. */
  readonly writer: string;
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

/**
 * The list of a copy goes first, so that what remains is never called a copy. A pack is deleted only when two witnesses
 * call it dead: no list names it now, and none did at a sweep before the grace time; and the catalog confirms that the
 * listing left no copy out.
 */
export async function pruneCopies(options: PruneCopiesOptions): Promise<PruneCopiesReport> {
  const { location, series, policy, writer, now, dryRun } = options;
  const { copies, missing } = await copiesOf(location, series, writer);
  const rows = planRetention(copies.map(retentionOf), policy, now.getTime());
  const doomed = new Set(rows.filter(({ keep }) => !keep).map(({ name }) => name));
  if (dryRun) {
    return {
      rows,
      pruned: [...doomed],
      failures: [],
      sweptPacks: 0,
      sweptBytes: 0,
      deadPacks: 0,
      notSwept: 'dry run',
    };
  }
  const pruned: string[] = [];
  const failures: string[] = [];
  for (const copy of copies.filter(({ archive }) => doomed.has(archive))) {
    try {
      await deleteCopy(location, series, copy);
      pruned.push(copy.archive);
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      failures.push(error.message);
    }
  }
  const kept = copies.filter(({ archive }) => !pruned.includes(archive));
  await writeCatalog(location, series, writer, new Set(kept.map(({ archive }) => archive)));
  const base = { rows, pruned, failures };
  const unreadable = kept.find(({ list }) => list === undefined);
  const reason =
    missing.length > 0
      ? `the listing of ${location.url} left out ${missing.length} copies that are there, such as ${missing[0]}`
      : unreadable &&
        `the list of ${unreadable.archive} cannot be read, so nobody knows which packs it names`;
  if (reason) return { ...base, sweptPacks: 0, sweptBytes: 0, deadPacks: 0, notSwept: reason };
  return { ...base, ...(await sweep(options, kept, failures)), notSwept: undefined };
}

/** Every copy of the series, by listing and by catalog; `missing`: those that the listing left out. */
async function copiesOf(
  location: Location,
  series: string,
  writer: string,
): Promise<{ copies: Copy[]; missing: string[] }> {
  const listed = new Set((await listedArchives(location, series)).map(({ archive }) => archive));
  const missing: string[] = [];
  const copies: Copy[] = [];
  for (const archive of listed.union(await readCatalog(location, series, writer))) {
    const list = await listOrNothing(location, series, archive);
    if (list === 'absent') continue;
    if (!listed.has(archive)) missing.push(archive);
    copies.push({ archive, list });
  }
  return { copies, missing };
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

async function deleteCopy(location: Location, series: string, { archive, list }: Copy): Promise<void> {
  await location.delete(listKey(series, archive));
  await location.delete(indexKey(series, archive));
  for (let part = 0; part < (list?.manifestParts ?? 1); part++) {
    await location.delete(manifestKey(series, archive, part, list?.isSealed ?? false));
  }
}

async function sweep(
  { location, series, writer, graceMs, now }: PruneCopiesOptions,
  copies: readonly Copy[],
  failures: string[],
): Promise<Pick<PruneCopiesReport, 'sweptPacks' | 'sweptBytes' | 'deadPacks'>> {
  const named = new Set(copies.flatMap(({ list }) => list?.runs.map(({ pack }) => pack) ?? []));
  const before = await readSweep(location, series, writer);
  const dead = new Map<string, string>();
  const prefix = packsPrefix(series);
  let sweptPacks = 0;
  let sweptBytes = 0;
  const old = now.getTime() - graceMs;
  for await (const { key, sizeBytes, modifiedAt } of location.list(prefix)) {
    const pack = key.slice(prefix.length);
    if (named.has(pack) || writerOfPack(pack) !== writer) continue;
    const since = before.get(pack) ?? now.toISOString();
    if (Date.parse(since) > old || modifiedAt.getTime() > old || !before.has(pack)) {
      dead.set(pack, since);
      continue;
    }
    try {
      await location.delete(key);
      sweptPacks++;
      sweptBytes += sizeBytes;
    } catch (error) {
      if (!(error instanceof ArchiveError)) throw error;
      failures.push(error.message);
      dead.set(pack, since);
    }
  }
  const text = JSON.stringify({ version: 1, dead: Object.fromEntries(dead) });
  await location.put(sweepKey(series, writer), Buffer.from(`${text}\n`));
  return { sweptPacks, sweptBytes, deadPacks: dead.size };
}

/** When each pack was first seen dead, by an earlier sweep. */
async function readSweep(
  location: Location,
  series: string,
  writer: string,
): Promise<ReadonlyMap<string, string>> {
  const bytes = await location.get(sweepKey(series, writer));
  if (!bytes) return new Map();
  try {
    const { dead } = JSON.parse(bytes.toString('utf8')) as { dead: Record<string, string> };
    return new Map(Object.entries(dead).filter(([, since]) => !Number.isNaN(Date.parse(since))));
  } catch {
    // Damaged: packs wait for the grace time once more.
    return new Map();
  }
}
