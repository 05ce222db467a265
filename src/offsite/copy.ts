/** Copies a local archive to a location: only the members that its series has not stored yet. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
  ArchiveError,
  encodeTable,
  manifestFrame,
  manifestPieces,
  manifestTail,
  PieceRows,
  readCompressedMember,
  readMemberLines,
  readSummary,
  type Summary,
  suspicionOf,
} from '../archive/index.ts';
import { codeOf } from '../posix/system-error.ts';
import type { Sealer } from './age.ts';
import { addToCatalog } from './catalog.ts';
import { unmarkDead } from './dead-packs.ts';
import { indexKey, listKey, packName, packsPrefix } from './keys.ts';
import { allRuns, appendRun, bytesOf, encodeList, type Run } from './list-file.ts';
import type { Location } from './location.ts';
import { IndexWriter, MemberDigests } from './member-index.ts';
import { PackUploader } from './pack-uploader.ts';
import { digestOfPiece, knownMembers, reusable } from './previous-copies.ts';
import { readList, sizesOfPacks } from './stored-archives.ts';
import { putSuspicion } from './suspicions.ts';
import { Checkpoint, destinationError, lockCopies, writerOf } from './writer-state.ts';

export interface CopyOptions {
  readonly location: Location;
  /** From `openLocation`. */
  readonly locationId: string;
  /** Path of the archive, with its manifest next to it. */
  readonly archive: string;
  /** Undefined: packs are stored unencrypted. */
  readonly sealer: Sealer | undefined;
  readonly retainUntil?: Date | undefined;
  /** How long to wait for another copy of the same destination. */
  readonly lockWaitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: CopyProgress) => void) | undefined;
  /** Packs under way at once; each takes about 7 MB of memory. */
  readonly uploads?: number | undefined;
  /** Bytes after which a pack is closed. */
  readonly packBytes?: number | undefined;
}

export interface CopyProgress {
  readonly members: number;
  readonly ofMembers: number;
  readonly bytes: number;
  readonly ofBytes: number;
  readonly uploadedBytes: number;
}

export interface CopyReport {
  readonly outcome: 'copied' | 'already-there';
  readonly archive: string;
  readonly series: string;
  readonly sizeBytes: number;
  /** Bytes of all objects that this copy stored. */
  readonly uploadedBytes: number;
  /** Bytes of members that were there already. */
  readonly reusedBytes: number;
  readonly packs: number;
}

const UPLOADS = 3;
const PACK_BYTES = 6 * 1024 * 1024;

/**
 * The list is stored last: until then the location holds no trace of the archive but packs that nothing names.
 * A copy that was stopped continues after the packs that were confirmed. The archive may be pruned meanwhile.
 * @throws {ArchiveError} ArchiveMissing, ManifestInvalid, ArchiveCorrupt when a member differs from its digest,
 *   Locked, LocationUnsuitable; and what the location throws.
 */
export async function copyArchive(options: CopyOptions): Promise<CopyReport> {
  const { archive } = options;
  const destination = path.dirname(archive);
  try {
    using _lock = await lockCopies(destination, options.lockWaitMs ?? 0, options.signal);
    return await copyUnderLock(options);
  } catch (error) {
    throw destinationError(error, destination);
  }
}

async function copyUnderLock(options: CopyOptions): Promise<CopyReport> {
  const { archive } = options;
  const fd = openLocal(archive);
  if (fd === undefined) throw new ArchiveError('ArchiveMissing', `${archive} does not exist.`);
  try {
    const manifestFd = openLocal(`${archive}.manifest`);
    if (manifestFd === undefined) {
      throw new ArchiveError(
        'ManifestInvalid',
        `${archive} has no manifest, so its members are not known. Only archives that km-backup made can be copied.`,
      );
    }
    try {
      // By descriptor: it can be read from its start again after the archive was pruned.
      return await copyOpen(options, fd, `/proc/self/fd/${manifestFd}`);
    } finally {
      fs.closeSync(manifestFd);
    }
  } finally {
    fs.closeSync(fd);
  }
}

async function copyOpen(options: CopyOptions, fd: number, manifest: string): Promise<CopyReport> {
  const { location, archive: file, sealer, signal } = options;
  const summary = readSummary(manifest);
  if (!summary) throw new ArchiveError('ManifestInvalid', `${file} has no manifest.`);
  const archive = path.basename(file);
  const series = summary.series ?? '';
  const base = { archive, series, sizeBytes: summary.sizeBytes };
  const packSizes = await sizesOfPacks(location, series);
  const suspicion = suspicionOf(file);
  if (await isThere(location, base, summary, packSizes)) {
    if (suspicion?.approvedAt !== undefined) await putSuspicion(location, series, archive, suspicion);
    return { ...base, outcome: 'already-there', uploadedBytes: 0, reusedBytes: summary.sizeBytes, packs: 0 };
  }
  const destination = path.dirname(file);
  const writer = writerOf(destination);
  const recipients = sealer?.id ?? '';
  const checkpoint = new Checkpoint(destination, [options.locationId, series, archive, recipients]);
  const known = await knownMembers(location, series, writer, recipients, packSizes);
  const digests = new MemberDigests(writer.salt);
  const reuse = await reusable(manifest, digests, known, packSizes);

  const uploader = new PackUploader({
    location,
    prefix: packsPrefix(series),
    nameOf: () => packName(writer.id, randomBytes(8).toString('hex'), sealer !== undefined),
    sealer,
    retainUntil: options.retainUntil,
    uploads: options.uploads ?? UPLOADS,
    packBytes: options.packBytes ?? PACK_BYTES,
    confirmed: (pack) => checkpoint.add(pack),
  });
  const resumed = checkpoint.read().filter(({ pack, sizeBytes }) => packSizes.get(pack) === sizeBytes);
  for (const pack of resumed) uploader.rememberPack(pack);
  // A sweep must not take packs that waited for this copy longer than its grace time.
  await unmarkDead(location, series, new Set(resumed.map(({ pack }) => pack)));

  const index = new IndexWriter(writer.salt);
  const runs: Run[] = [];
  const manifestRuns: Run[] = [];
  let manifestTable: Run | undefined;
  const placeOf = (digest: Buffer): Run | undefined => {
    const stored = known.get(digest);
    return uploader.placeOf(digest) ?? (stored && reuse.packs.has(stored.pack) ? stored : undefined);
  };
  /** Puts a piece of the manifest into a pack, unless one has it. */
  const store = async (digest: Buffer, bytes: () => Uint8Array, isShared = false): Promise<Run> => {
    const place = isShared ? placeOf(digest) : uploader.placeOf(digest);
    const run = place ?? (await uploader.add(digest, bytes()));
    index.add(digest, run.length);
    return run;
  };
  let reusedBytes = 0;
  const done = { members: 0, bytes: 0 };
  try {
    for await (const { member } of readMemberLines(manifest)) {
      signal?.throwIfAborted();
      const digest = digests.of(member.sha256);
      let place = placeOf(digest);
      if (place?.length === member.size) reusedBytes += member.size;
      else place = await uploader.add(digest, readCompressedMember(fd, member));
      appendRun(runs, place);
      index.add(digest, place.length);
      done.members++;
      done.bytes += member.size;
      options.progress?.({
        ...done,
        ofMembers: summary.members,
        ofBytes: summary.sizeBytes,
        uploadedBytes: uploader.uploadedBytes,
      });
    }
    // In packs of its own: it stays readable where a pack of members is lost, and comes with one request.
    await uploader.finish();
    const table = new PieceRows();
    for await (const { text, members } of manifestPieces(manifest)) {
      signal?.throwIfAborted();
      const run = await store(digestOfPiece(digests, text), () => manifestFrame(text), reuse.manifest);
      appendRun(manifestRuns, run);
      table.add(members, run.length);
    }
    const tail = manifestTail(summary, bytesOf(manifestRuns));
    appendRun(manifestRuns, await store(digestOfPiece(digests, tail), () => tail));
    const encoded = encodeTable({ summary, pieces: table.rows });
    manifestTable = await store(digestOfPiece(digests, encoded), () => encoded);
    await uploader.finish();
  } catch (error) {
    await uploader.abandon();
    throw error;
  }
  signal?.throwIfAborted();
  for (const [pack, bytes] of uploader.packBytes) packSizes.set(pack, bytes);
  const packBytes = new Map(
    allRuns({ runs, manifestRuns, manifestTable }).map(({ pack }) => [pack, packSizes.get(pack) ?? 0]),
  );
  await confirmReused(options, series, packBytes, uploader.packBytes);
  const put = (key: string, bytes: Uint8Array) =>
    location.put(key, bytes, { retainUntil: options.retainUntil });
  const { sizeBytes, sha256, startedAt } = summary;
  const text = Buffer.from(
    encodeList({
      archive,
      series,
      writer: writer.id,
      sizeBytes,
      sha256,
      startedAt,
      isSealed: sealer !== undefined,
      recipients,
      isComplete: summary.warnings.count === 0,
      manifestParts: 0,
      packBytes,
      runs,
      manifestRuns,
      manifestTable,
    }),
  );
  await put(indexKey(series, archive), index.bytes());
  // Before the list: no copy of a suspicious archive is there without being called so.
  await putSuspicion(location, series, archive, suspicion);
  // Before the list: a catalog may name a copy that has no list, but must not leave one out that has.
  await addToCatalog(location, series, writer.id, archive);
  await put(listKey(series, archive), text);
  checkpoint.remove();
  const uploadedBytes = uploader.uploadedBytes + index.bytes().length + text.length;
  return { ...base, outcome: 'copied', uploadedBytes, reusedBytes, packs: uploader.packs };
}

function openLocal(file: string): number | undefined {
  try {
    return fs.openSync(file, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new ArchiveError('ArchiveUnreadable', `${file} cannot be read (${codeOf(error) ?? error}).`);
  }
}

/** Whether the location has this archive with all its packs. @throws {ArchiveError} LocationUnsuitable */
async function isThere(
  location: Location,
  { archive, series }: { readonly archive: string; readonly series: string },
  { sha256 }: Summary,
  packSizes: ReadonlyMap<string, number>,
): Promise<boolean> {
  const list = await readList(location, series, archive);
  if (!list) return false;
  if (list.sha256 !== sha256) {
    throw new ArchiveError(
      'LocationUnsuitable',
      `${location.url} has another archive named ${archive} of series ${series || '(none)'}: its digest differs. Perhaps two clusters copy to one place: give each its own prefix.`,
    );
  }
  return list.packBytes.entries().every(([pack, bytes]) => packSizes.get(pack) === bytes);
}

/** The last look at what others stored before the list makes use of it; locks are extended on the way. */
async function confirmReused(
  { location, retainUntil }: CopyOptions,
  series: string,
  packBytes: ReadonlyMap<string, number>,
  own: ReadonlyMap<string, number>,
): Promise<void> {
  const reused = [...packBytes].filter(([pack]) => !own.has(pack));
  if (reused.length === 0) return;
  const sizes = await sizesOfPacks(location, series);
  const lost = reused.find(([pack, bytes]) => sizes.get(pack) !== bytes);
  if (lost) {
    throw new ArchiveError(
      'PackMissing',
      `${location.url}: pack ${lost[0]} disappeared while it was about to be used again. No list was stored. Copy again.`,
    );
  }
  if (retainUntil === undefined || !location.retain) return;
  for (const [pack] of reused) await location.retain(packsPrefix(series) + pack, retainUntil);
}
