/** One file through the archives: in which it is, and where it changed. */
import { archiveInfo, refuseProblem } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import type { ByteString } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { ManifestFrames } from '../format/manifest-frames.ts';
import { manifestNameOf } from '../format/names.ts';
import { chosenPath } from '../restore/extract-plan.ts';
import { readEntries } from '../restore/list-entries.ts';
import { type Aspect, compareEntries, type Recorded } from './compare.ts';
import { findEntry } from './find-entry.ts';

/** An archive, or the manifest of one that lies elsewhere. */
export interface HistoryArchive {
  readonly name: string;
  /** Makes it readable at a path until it is disposed of. */
  open(): Promise<{ readonly path: string } & Disposable>;
}

/** Compared with the archive before it that could be read. */
export type Version = { readonly archive: string } & (
  | {
      /** `oldest`: no earlier archive could be compared. */
      readonly change: 'oldest' | 'added' | 'same' | 'changed' | 'metadata';
      /** Of a hard link, with the size of what it leads to. */
      readonly entry: Entry;
      /** Of the content; undefined without a manifest. For large files one digest of the digests of their slices. */
      readonly digest: string | undefined;
      readonly aspects: readonly Aspect[];
    }
  | { readonly change: 'absent' | 'removed' }
  | { readonly change: 'unreadable'; readonly problem: string }
);

export interface HistoryOptions {
  /** Oldest first. */
  readonly archives: Iterable<HistoryArchive>;
  /** Path within the archives. */
  readonly path: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Yields a version for each archive, in their order. An archive with a manifest costs a few reads, however many entries
 * it has; one without is read whole. An archive that cannot be read is reported and skipped.
 *
 * @throws {ArchiveError} Usage when no archive can hold the path. What `open` throws passes through.
 */
export async function* historyOf({ archives, path, signal }: HistoryOptions): AsyncGenerator<Version> {
  const wanted = chosenPath(path);
  let before: Found | undefined;
  for (const { name, open } of archives) {
    signal?.throwIfAborted();
    using opened = await open();
    let found: Found;
    try {
      found = await look(opened.path, wanted, signal);
    } catch (error) {
      if (!(error instanceof ArchiveError) || signal?.aborted) throw error;
      yield { archive: name, change: 'unreadable', problem: error.message };
      continue;
    }
    yield versionOf(name, before, found);
    before = found;
  }
}

interface Found {
  readonly recorded: Recorded | undefined;
  readonly hasManifest: boolean;
}

function versionOf(archive: string, before: Found | undefined, now: Found): Version {
  if (!now.recorded) return { archive, change: before?.recorded ? 'removed' : 'absent' };
  const { entry, parts } = now.recorded;
  const present = { archive, entry, digest: entry.sha256 ?? parts, aspects: [] };
  if (!before) return { ...present, change: 'oldest' };
  if (!before.recorded) return { ...present, change: 'added' };
  const byTime = !before.hasManifest || !now.hasManifest;
  return { ...present, change: 'same', ...compareEntries(before.recorded, now.recorded, byTime) };
}

async function look(archive: string, path: ByteString, signal: AbortSignal | undefined): Promise<Found> {
  const info = archiveInfo(archive);
  refuseProblem(info, { corrupt: '' });
  if (!info.summary) {
    const recorded = await resolved((wanted) => readFor(archive, wanted, signal), path);
    return { recorded, hasManifest: false };
  }
  const where = manifestNameOf(archive);
  using frames = new ManifestFrames(where);
  const recorded = await resolved((wanted) => findEntry(frames, wanted, where), path);
  return { recorded, hasManifest: true };
}

/** The entry at a path; of a hard link, the one that it leads to. */
async function resolved(
  find: (path: ByteString) => Promise<Recorded | undefined>,
  path: ByteString,
): Promise<Recorded | undefined> {
  const found = await find(path);
  if (found?.entry.type !== 'hardlink') return found;
  const target = await find(found.entry.link!);
  return target ? { ...target, entry: { ...target.entry, path } } : found;
}

/** Of a path that an archive has twice, tar restores the last. */
async function readFor(
  archive: string,
  path: ByteString,
  signal: AbortSignal | undefined,
): Promise<Recorded | undefined> {
  let found: Entry | undefined;
  const keep = (entry: Entry) => {
    if (entry.path === path) found = entry;
  };
  await readEntries(archive, keep, signal);
  return found && { entry: found };
}
