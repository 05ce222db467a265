/** Brings an archive back from a location: whole, or only the members that are wanted. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { ArchiveError, type Member, readSummary } from '../archive/index.ts';
import type { Opener } from './age.ts';
import type { ArchiveList, Run } from './list-file.ts';
import type { Location } from './location.ts';
import { PackReader } from './pack-reader.ts';
import { readList, readManifestParts } from './stored-archives.ts';

export interface FetchOptions {
  readonly location: Location;
  readonly series: string;
  readonly archive: string;
  readonly opener: Opener | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((bytes: number, ofBytes: number) => void) | undefined;
}

/** @throws {ArchiveError} CopyMissing */
export async function findList({ location, series, archive }: FetchOptions): Promise<ArchiveList> {
  const list = await readList(location, series, archive);
  if (list) return list;
  throw new ArchiveError(
    'CopyMissing',
    `${location.url} has no copy of ${archive} (series ${series || '(none)'}). km-backup list ${location.url} shows what it has.`,
  );
}

/**
 * Writes the archive, bit for bit, to a new file, and its manifest next to it.
 * @throws {ArchiveError} ArchiveCorrupt when the digest differs: the file is removed; PackMissing, IdentityMismatch.
 */
export async function fetchArchive(options: FetchOptions, file: string): Promise<ArchiveList> {
  const list = await findList(options);
  await fetchManifest(options, list, `${file}.manifest`);
  const reader = new PackReader(options.location, options.series, options.opener);
  const hash = createHash('sha256');
  const fd = fs.openSync(file, 'wx', 0o640);
  let isWhole = false;
  try {
    let done = 0;
    for (const [index, run] of list.runs.entries()) {
      options.signal?.throwIfAborted();
      const next = list.runs[index + 1];
      if (next) reader.expect(next.pack);
      const bytes = await reader.read(run);
      hash.update(bytes);
      writeAll(fd, bytes, done);
      done += bytes.length;
      options.progress?.(done, list.sizeBytes);
    }
    if (hash.digest('hex') !== list.sha256) {
      throw new ArchiveError(
        'ArchiveCorrupt',
        `${options.location.url}: ${options.archive} does not have the digest that its list says. A pack was altered or exchanged. Use another copy.`,
      );
    }
    fs.fsyncSync(fd);
    isWhole = true;
  } finally {
    fs.closeSync(fd);
    if (!isWhole) for (const one of [file, `${file}.manifest`]) fs.rmSync(one, { force: true });
  }
  return list;
}

/** The manifest must be that of the archive: nobody may exchange it for another one of the series. */
function checkManifest({ location, archive }: FetchOptions, list: ArchiveList, manifest: string): void {
  const summary = readSummary(manifest);
  if (summary?.sha256 === list.sha256 && summary.sizeBytes === list.sizeBytes) return;
  fs.rmSync(manifest, { force: true });
  throw new ArchiveError(
    'ArchiveCorrupt',
    `${location.url}: the manifest of ${archive} belongs to another archive. It was exchanged. Use another copy.`,
  );
}

/**
 * Writes the manifest of a copy to a new file.
 * @throws {ArchiveError} ArchiveCorrupt when it is that of another archive; PackMissing, IdentityMismatch.
 */
export async function fetchManifest(options: FetchOptions, list: ArchiveList, file: string): Promise<void> {
  await writeManifest(options, list, file);
  checkManifest(options, list, file);
}

async function writeManifest(options: FetchOptions, list: ArchiveList, file: string): Promise<void> {
  const fd = fs.openSync(file, 'wx', 0o640);
  try {
    let at = 0;
    for await (const part of readManifestParts(options.location, list, options.opener)) {
      writeAll(fd, part, at);
      at += part.length;
    }
  } catch (error) {
    fs.rmSync(file, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Makes a file of the archive's length that holds only the given members, each at its place, and holes elsewhere:
 * whoever reads just these members cannot tell it from the archive.
 * @param members in the archive's order
 */
export async function fetchMembers(
  { location, series, opener, signal }: FetchOptions,
  list: ArchiveList,
  members: Iterable<Member>,
  file: string,
): Promise<{ readonly packs: number }> {
  const reader = new PackReader(location, series, opener);
  const fd = fs.openSync(file, 'wx', 0o600);
  try {
    fs.ftruncateSync(fd, list.sizeBytes);
    let run = 0;
    let runStart = 0;
    for (const { offset, size } of members) {
      signal?.throwIfAborted();
      for (let at = offset; at < offset + size; ) {
        while (list.runs[run] && runStart + list.runs[run]!.length <= at)
          runStart += list.runs[run++]!.length;
        const current = list.runs[run];
        if (!current)
          throw new ArchiveError(
            'ArchiveCorrupt',
            `${location.url}: the list of ${list.archive} ends early.`,
          );
        const skip = at - runStart;
        const length = Math.min(offset + size - at, current.length - skip);
        const piece: Run = { pack: current.pack, offset: current.offset + skip, length };
        writeAll(fd, await reader.read(piece), at);
        at += length;
      }
    }
  } finally {
    fs.closeSync(fd);
  }
  return { packs: reader.fetched };
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
