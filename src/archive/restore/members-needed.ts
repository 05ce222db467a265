/** Which members of an archive a restore in place will read, so that no others need be fetched from a location. */
import { archiveInfo } from '../destination/inventory.ts';
import { fromText } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { Member } from '../format/manifest.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { isUnchanged } from './compare-entry.ts';
import { isSkipped } from './entry-gate.ts';
import { LiveTree } from './live-tree.ts';
import { placeOf } from './place.ts';
import type { RestoreOptions } from './restore-options.ts';
import { reuseOf } from './reuse-choice.ts';
import { sourceOf } from './source.ts';

/**
 * The members that hold a file which the target does not have unchanged. Needs the manifest only.
 * A file that changes after this look is missing then: the restore fails with ArchiveCorrupt before it changes anything.
 * @param archive path of a file of the archive's length, with the manifest next to it
 * @returns undefined when the whole archive is needed
 * @throws {ArchiveError} as `restore`
 */
export async function membersNeeded(
  archive: string,
  options: Pick<
    RestoreOptions,
    'target' | 'reuse' | 'oldState' | 'ignoreWriters' | 'stageOnly' | 'fetch' | 'signal'
  >,
): Promise<readonly Member[] | undefined> {
  const place = placeOf(options.target);
  const settings = reuseOf(options, place, sourceOf(archiveInfo(archive), false));
  // Only a copy works for every file: what cannot be cloned or linked is unpacked.
  if (!settings?.copySmall) return undefined;
  using live = new LiveTree(fromText(place.target));
  const isThere = (entry: Entry) => {
    const found = isSkipped(entry) ? undefined : live.at(entry.path);
    return found !== undefined && isUnchanged(entry, found, settings.settled);
  };
  const needed: Member[] = [];
  let isAll = true;
  let isThereWhole = false;
  for await (const { member, entries } of readManifest(manifestNameOf(archive))) {
    options.signal?.throwIfAborted();
    if (member.kind !== 'part') {
      const files = entries.filter(({ type }) => type === 'file');
      isThereWhole = files.length > 0 && files.every(isThere);
    }
    // The slices of a large file follow the member that lists it.
    if (isThereWhole) isAll = false;
    else needed.push(member);
  }
  return isAll ? undefined : needed;
}
