/** The guard's records of suspicious archives, next to their copies: retention of copies honours them too. */
import {
  encodeSuspicion,
  isUnapproved,
  parseSuspicion,
  type Suspicion,
  suspicionOf,
  unreadableSuspicion,
} from '../archive/index.ts';
import { archiveOfSuspicion, seriesPrefix, suspicionKey } from './keys.ts';
import type { Location } from './location.ts';

/** Stores the record of an archive, before the list of its copy or after an approval; nothing if it has none. */
export async function putSuspicion(
  location: Location,
  series: string,
  archive: string,
  suspicion: Suspicion | undefined,
): Promise<void> {
  if (!suspicion) return;
  await location.put(suspicionKey(series, archive), Buffer.from(encodeSuspicion(suspicion)));
}

/** Undefined if the copy has none. A record that is damaged counts as one. */
export async function readSuspicion(
  location: Location,
  series: string,
  archive: string,
): Promise<Suspicion | undefined> {
  const bytes = await location.get(suspicionKey(series, archive));
  if (!bytes) return undefined;
  return parseSuspicion(bytes.toString('utf8')) ?? unreadableSuspicion(archive, 'it is damaged');
}

/**
 * Names of the copies of a series that are suspicious and that nobody approved.
 *
 * @param localOf Path of an archive in the destination that was copied: its approval counts for the copy. Undefined
 *   where the destination is not known.
 * @param dryRun False: such an approval is stored with the copy.
 */
export async function suspiciousCopies(
  location: Location,
  series: string,
  localOf: ((archive: string) => string) | undefined,
  dryRun: boolean,
): Promise<Set<string>> {
  const found = new Set<string>();
  const archives: string[] = [];
  for await (const { key } of location.list(seriesPrefix(series))) {
    const archive = archiveOfSuspicion(series, key);
    if (archive !== undefined) archives.push(archive);
  }
  for (const archive of archives) {
    const stored = await readSuspicion(location, series, archive);
    if (!isUnapproved(stored)) continue;
    const local = localOf && suspicionOf(localOf(archive));
    if (local?.approvedAt !== undefined && local.sha256 === stored!.sha256) {
      if (!dryRun) await putSuspicion(location, series, archive, local);
    } else found.add(archive);
  }
  return found;
}
