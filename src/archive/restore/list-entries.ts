import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { compressionOf, readTar } from '../format/read-tar.ts';

/** Every entry of an archive: from its manifest where it has one, else by reading it whole. */
export async function listEntries(
  file: string,
  each: (entry: Entry) => void,
  signal?: AbortSignal,
): Promise<void> {
  const info = archiveInfo(file);
  if (info.problem !== undefined) throw new ArchiveError('ArchiveCorrupt', `${file}: ${info.problem}`);
  if (!info.summary) {
    const nothing = () => {};
    return await readTar(
      file,
      compressionOf(file),
      { entry: each, data: nothing, endEntry: nothing },
      signal,
    );
  }
  for await (const { entries } of readManifest(manifestNameOf(file))) {
    signal?.throwIfAborted();
    entries.forEach(each);
  }
}
