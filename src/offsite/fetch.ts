/** Brings an archive back from a location: whole, or only the members that are wanted. */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
  ArchiveError,
  joinManifest,
  type Member,
  readSummary,
  type Sink,
  type Summary,
} from '../archive/index.ts';
import { syncDirectory } from '../posix/sync.ts';
import { codeOf } from '../posix/system-error.ts';
import type { Opener } from './age.ts';
import type { ArchiveList } from './list-file.ts';
import type { Location } from './location.ts';
import { piecesAt, piecesOf, readPieces } from './pack-reader.ts';
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
 * Writes the archive, bit for bit, to a new file, and its manifest next to it. Neither exists before both are whole.
 * @throws {ArchiveError} ArchiveCorrupt when the digest differs; OutputExists, NoSpace, PackMissing, IdentityMismatch.
 */
export async function fetchArchive(options: FetchOptions, file: string): Promise<ArchiveList> {
  const list = await findList(options);
  // Under the final names only when whole: half an archive has the length of a whole one.
  const partial = path.join(path.dirname(file), `.km-backup-fetch-${randomBytes(8).toString('hex')}`);
  const partialManifest = `${partial}.manifest`;
  try {
    await fetchOriginalManifest(options, list, partialManifest);
    await writePieces(options, list, partial);
    if ((await sha256Of(partial)) !== list.sha256) {
      throw new ArchiveError(
        'ArchiveCorrupt',
        `${options.location.url}: ${options.archive} does not have the digest that its list says. A pack was altered or exchanged. Use another copy.`,
      );
    }
    for (const [from, to] of [
      [partialManifest, `${file}.manifest`],
      [partial, file],
    ] as const) {
      moveTo(from, to);
    }
    syncDirectory(path.dirname(file));
  } catch (error) {
    throw localError(error, file);
  } finally {
    for (const one of [partial, partialManifest]) fs.rmSync(one, { force: true });
  }
  return list;
}

async function writePieces(options: FetchOptions, list: ArchiveList, file: string): Promise<void> {
  await writing(file, async (to) => {
    to.truncate(list.sizeBytes);
    let done = 0;
    await readPieces(options, list, piecesOf(list.runs), ({ position }, bytes) => {
      to.write(bytes, position);
      done += bytes.length;
      options.progress?.(done, list.sizeBytes);
    });
  });
}

/** Never replaces a file, where the file system has hard links. */
function moveTo(from: string, to: string): void {
  try {
    fs.linkSync(from, to);
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(codeOf(error) ?? '')) throw error;
    fs.renameSync(from, to);
  }
}

/** What the system says when a file cannot be written here. */
function localError(error: unknown, file: string): unknown {
  const code = codeOf(error);
  if (error instanceof ArchiveError || code === undefined) return error;
  const cause = { cause: error };
  if (code === 'EEXIST') return new ArchiveError('OutputExists', `${file} exists already.`, cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ArchiveError('NoSpace', `There is no room for ${file}. Choose another directory.`, cause);
  }
  return new ArchiveError('DestinationUnusable', `${file} cannot be written (${code}).`, cause);
}

/** The manifest must be that of the archive: nobody may exchange it for another one of the series. */
export function checkSummary(
  { location, archive }: FetchOptions,
  list: ArchiveList,
  summary: Summary | undefined,
): Summary {
  if (summary?.sha256 === list.sha256 && summary.sizeBytes === list.sizeBytes) return summary;
  throw new ArchiveError(
    'ArchiveCorrupt',
    `${location.url}: the manifest of ${archive} belongs to another archive. It was exchanged. Use another copy.`,
  );
}

/**
 * Writes the manifest of a copy to a new file. It says the same as the manifest that was copied, in other bytes.
 * @throws {ArchiveError} ArchiveCorrupt when it is damaged or that of another archive; PackMissing, IdentityMismatch.
 */
export async function fetchManifest(
  options: FetchOptions,
  list: ArchiveList,
  file: string,
): Promise<Summary> {
  try {
    await writing(file, async (sink) => {
      for await (const part of readManifestParts(options.location, list, options.opener)) sink.append(part);
      // The tail is read first where its pack has been used before: each piece has its place.
      const start = sink.position;
      await readPieces(options, list, piecesOf(list.manifestRuns), ({ position }, bytes) =>
        sink.write(bytes, start + position),
      );
    });
    return checkSummary(options, list, readSummary(file));
  } catch (error) {
    fs.rmSync(file, { force: true });
    throw damagedManifest(error, options);
  }
}

/** The same, in the bytes that were copied: for whoever compares their digest. @throws {ArchiveError} as above */
export async function fetchOriginalManifest(
  options: FetchOptions,
  list: ArchiveList,
  file: string,
): Promise<Summary> {
  if (list.manifestRuns.length === 0) return await fetchManifest(options, list, file);
  const pieces = `${file}.pieces`;
  try {
    const summary = await fetchManifest(options, list, pieces);
    await writing(file, (sink) => joinManifest(pieces, sink));
    return summary;
  } catch (error) {
    fs.rmSync(file, { force: true });
    throw damagedManifest(error, options);
  } finally {
    fs.rmSync(pieces, { force: true });
  }
}

export function damagedManifest(error: unknown, { location, archive }: FetchOptions): unknown {
  if (!(error instanceof ArchiveError) || error.reason !== 'ManifestInvalid') return error;
  return new ArchiveError(
    'ArchiveCorrupt',
    `${location.url}: the manifest of ${archive} is damaged. A pack was altered or exchanged. Use another copy.`,
    { cause: error },
  );
}

/** A new file that is written to, and synced at the end. */
class NewFile implements Sink {
  position = 0;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  append(bytes: Uint8Array): void {
    this.write(bytes, this.position);
    this.position += bytes.length;
  }

  /** Gives it a length. What is not written holds zeros. */
  truncate(bytes: number): void {
    fs.ftruncateSync(this.#fd, bytes);
  }

  write(bytes: Uint8Array, position: number): void {
    writeAll(this.#fd, bytes, position);
  }
}

export async function writing(file: string, write: (to: NewFile) => Promise<void>): Promise<void> {
  const fd = fs.openSync(file, 'wx', 0o640);
  try {
    await write(new NewFile(fd));
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Bytes of an archive, and where they go in the file that is made. */
export interface FetchedRange {
  readonly offset: number;
  readonly length: number;
  readonly position: number;
}

/**
 * Makes a file of the archive's length that holds only the given members, each at its place, and holes elsewhere:
 * whoever reads just these members cannot tell it from the archive.
 * @param members in the archive's order
 */
export async function fetchMembers(
  options: FetchOptions,
  list: ArchiveList,
  members: Iterable<Member>,
  file: string,
): Promise<{ readonly packs: number }> {
  const ranges = Array.from(members, ({ offset, size }) => ({ offset, length: size, position: offset }));
  return await fetchRanges(options, list, ranges, { file, sizeBytes: list.sizeBytes });
}

/** @param ranges of the archive, in its order */
export async function fetchRanges(
  options: FetchOptions,
  list: ArchiveList,
  ranges: readonly FetchedRange[],
  to: { readonly file: string; readonly sizeBytes: number },
): Promise<{ readonly packs: number }> {
  const fd = fs.openSync(to.file, 'wx', 0o600);
  try {
    fs.ftruncateSync(fd, to.sizeBytes);
    const ofBytes = ranges.reduce((sum, { length }) => sum + length, 0);
    let done = 0;
    const packs = await readPieces(
      options,
      list,
      piecesAt(list.runs, ranges, options),
      ({ position }, bytes) => {
        writeAll(fd, bytes, position);
        done += bytes.length;
        options.progress?.(done, ofBytes);
      },
    );
    return { packs };
  } finally {
    fs.closeSync(fd);
  }
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 1 << 20 }))
    hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function writeAll(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += fs.writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
