import { archiveInfo, refuseProblem } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { compressionOf, readTar } from '../format/read-tar.ts';

/**
 * Every entry of an archive: from its manifest, or by reading the whole archive if it has none.
 * @throws {ArchiveError} ArchiveMissing, ArchiveUnreadable, ArchiveCorrupt, or RestoreRefused for an entry no tar may hold.
 */
export async function listEntries(
  file: string,
  each: (entry: Entry) => void,
  signal?: AbortSignal,
): Promise<void> {
  const info = archiveInfo(file);
  refuseProblem(info, { corrupt: '. tar -tzf may still list a part of it.' });
  if (!info.summary) return await readEntries(file, each, signal);
  for await (const { entries } of readManifest(manifestNameOf(file))) {
    signal?.throwIfAborted();
    entries.forEach(each);
  }
}

/** Every entry of an archive without a manifest, by reading all of it. @throws {ArchiveError} as listEntries */
export async function readEntries(
  file: string,
  entry: (entry: Entry) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const nothing = () => {};
  const compression = compressionOf(file);
  try {
    await readTar(file, compression, { entry, data: nothing, endEntry: nothing }, signal);
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.reason !== 'ArchiveCorrupt') throw error;
    throw new ArchiveError('ArchiveCorrupt', `${file}: ${error.message}.`, { cause: error });
  }
}
