/** What a location holds: the copies of a series, their lists, indexes and manifests. */
import { ArchiveError } from '../archive/index.ts';
import type { Opener } from './age.ts';
import {
  archiveOfListKey,
  indexKey,
  listKey,
  manifestKey,
  packsPrefix,
  SEALED_SUFFIX,
  seriesOfListKey,
  seriesPrefix,
} from './keys.ts';
import { type ArchiveList, parseList } from './list-file.ts';
import type { Location, StoredObject } from './location.ts';

export interface ListedArchive {
  readonly archive: string;
  readonly series: string;
  readonly key: string;
}

/** Copies of a series, newest first by the time in their names; of all series where none is given. */
export async function listedArchives(location: Location, series?: string): Promise<ListedArchive[]> {
  const found: ListedArchive[] = [];
  for await (const { key } of location.list(series === undefined ? 'archives/' : seriesPrefix(series))) {
    const archive = archiveOfListKey(key);
    if (archive === undefined) continue;
    const one = { archive, series: seriesOfListKey(key), key };
    // The prefix of `a` begins the keys of `a/b` too.
    if (series === undefined || one.series === series) found.push(one);
  }
  return found.sort((a, b) => (a.archive < b.archive ? 1 : a.archive > b.archive ? -1 : 0));
}

/** The packs of a series. The folder of a series can hold that of another, whose packs are left out. */
export async function* listPacks(
  location: Location,
  series: string,
): AsyncGenerator<StoredObject & { pack: string }> {
  const prefix = packsPrefix(series);
  for await (const object of location.list(prefix)) {
    const pack = object.key.slice(prefix.length);
    if (!pack.includes('/')) yield { ...object, pack };
  }
}

/** Bytes of every pack that the location has of the series, by the pack's name. */
export async function sizesOfPacks(location: Location, series: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  for await (const { pack, sizeBytes } of listPacks(location, series)) sizes.set(pack, sizeBytes);
  return sizes;
}

/** The list of a copy; undefined where there is none. @throws {ArchiveError} ArchiveCorrupt */
export async function readList(
  location: Location,
  series: string,
  archive: string,
): Promise<ArchiveList | undefined> {
  const key = listKey(series, archive);
  const bytes = await location.get(key);
  if (!bytes) return undefined;
  const list = parseList(bytes.toString('utf8'), `${location.url}: ${key}`);
  if (list.archive === archive && list.series === series) return list;
  throw new ArchiveError('ArchiveCorrupt', `${location.url}: ${key} is the list of another archive.`);
}

export function readIndex(location: Location, series: string, archive: string): Promise<Buffer | undefined> {
  return location.get(indexKey(series, archive));
}

/** Decrypts an object where its name says that it is encrypted. */
export async function openObject(
  key: string,
  bytes: Buffer,
  opener: Opener | undefined,
  url: string,
): Promise<Buffer> {
  if (!key.endsWith(SEALED_SUFFIX)) return bytes;
  if (!opener) {
    throw new ArchiveError(
      'IdentityMismatch',
      `${url}: ${key} is encrypted. Pass the file with the age identity: --identity FILE.`,
    );
  }
  return await opener.open(bytes, `${url}: ${key}`);
}

/** The parts of a copy's manifest, in order. @throws {ArchiveError} PackMissing, IdentityMismatch, ArchiveCorrupt */
export async function* readManifestParts(
  location: Location,
  { series, archive, manifestParts, isSealed }: ArchiveList,
  opener: Opener | undefined,
): AsyncGenerator<Buffer> {
  for (let part = 0; part < manifestParts; part++) {
    const key = manifestKey(series, archive, part, isSealed);
    const bytes = await location.get(key);
    if (!bytes)
      throw new ArchiveError(
        'PackMissing',
        `${location.url}: ${key}, the manifest of ${archive}, is missing.`,
      );
    yield await openObject(key, bytes, opener, location.url);
  }
}
