/** The archives that a writer has copied: a second witness next to the listing of the location. */
import { ArchiveError } from '../archive/index.ts';
import { catalogKey } from './keys.ts';
import type { Location } from './location.ts';

/** Undefined where the writer has none. @throws {ArchiveError} ArchiveCorrupt */
export async function readCatalog(
  location: Location,
  series: string,
  writer: string,
): Promise<Set<string> | undefined> {
  const key = catalogKey(series, writer);
  const bytes = await location.get(key);
  if (!bytes) return undefined;
  try {
    const { archives } = JSON.parse(bytes.toString('utf8')) as { archives: string[] };
    return new Set(archives);
  } catch {
    throw new ArchiveError('ArchiveCorrupt', `${location.url}: ${key} is damaged. Nothing was deleted.`);
  }
}

export async function writeCatalog(
  location: Location,
  series: string,
  writer: string,
  archives: ReadonlySet<string>,
): Promise<void> {
  const text = JSON.stringify({ version: 1, archives: [...archives].sort() });
  await location.put(catalogKey(series, writer), Buffer.from(`${text}\n`));
}

export async function addToCatalog(
  location: Location,
  series: string,
  writer: string,
  archive: string,
): Promise<void> {
  const archives = (await readCatalog(location, series, writer)) ?? new Set();
  if (archives.has(archive)) return;
  await writeCatalog(location, series, writer, archives.add(archive));
}
