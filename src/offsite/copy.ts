/** Copies a local archive to a location: only the members that its series has not stored yet. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {
  ArchiveError,
  type Member,
  readCompressedMember,
  readMemberLines,
  readSummary,
  type Summary,
} from '../archive/index.ts';
import type { Sealer } from './age.ts';
import { addToCatalog } from './catalog.ts';
import { indexKey, listKey, manifestKey, packName, packsPrefix } from './keys.ts';
import { KnownMembers } from './known-members.ts';
import { type ArchiveList, appendRun, encodeList, type Run } from './list-file.ts';
import type { Location } from './location.ts';
import { IndexWriter, isOfSalt, memberDigest, placedMembers } from './member-index.ts';
import { PackUploader } from './pack-uploader.ts';
import { listedArchives, readIndex, readList } from './stored-archives.ts';
import { Checkpoint, type Writer, writerOf } from './writer-state.ts';

export interface CopyOptions {
  readonly location: Location;
  /** From `openLocation`. */
  readonly locationId: string;
  /** Path of the archive, with its manifest next to it. */
  readonly archive: string;
  /** Undefined: packs are stored unencrypted. */
  readonly sealer: Sealer | undefined;
  readonly retainUntil?: Date | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: CopyProgress) => void) | undefined;
  /** Packs under way at once; each takes about 40 MiB of memory. */
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

/** Lists that are looked at for members: the newest one has nearly all, a second one those of a short-lived change. */
const LISTS_READ = 2;
/** A long manifest is stored in parts of this many bytes. */
const MANIFEST_PART = 16 * 1024 * 1024;
const UPLOADS = 3;
const PACK_BYTES = 16 * 1024 * 1024;

/**
 * The list is stored last: until then the location holds no trace of the archive but packs that nothing names.
 * A copy that was stopped goes on behind the packs that were confirmed.
 * @throws {ArchiveError} ArchiveCorrupt when a member differs from its digest; ManifestInvalid, ArchiveMissing; errors of Location.
 */
export async function copyArchive(options: CopyOptions): Promise<CopyReport> {
  const { location, archive: file, sealer, signal } = options;
  const manifest = `${file}.manifest`;
  const summary = readSummary(manifest);
  if (!summary) {
    throw new ArchiveError(
      'ManifestInvalid',
      `${file} has no manifest, so its members are not known. Only archives that km-backup made can be copied.`,
    );
  }
  const archive = path.basename(file);
  const series = summary.series ?? '';
  const base = { archive, series, sizeBytes: summary.sizeBytes };
  const there = await readList(location, series, archive);
  if (there?.sha256 === summary.sha256) {
    return { ...base, outcome: 'already-there', uploadedBytes: 0, reusedBytes: summary.sizeBytes, packs: 0 };
  }
  if (there) {
    throw new ArchiveError(
      'LocationUnsuitable',
      `${location.url} has another archive named ${archive} of series ${series || '(none)'}: its digest differs. Give this series another name, or prune the copy first.`,
    );
  }
  const destination = path.dirname(file);
  const writer = writerOf(destination);
  const checkpoint = new Checkpoint(destination, options.locationId, series, archive);
  const packSizes = await sizesOfPacks(location, series);
  const known = await knownMembers(location, series, writer, packSizes);
  const used = await usageOfPacks(manifest, writer, known);
  const isWorthKeeping = (pack: string) =>
    2 * (used.get(pack) ?? 0) >= (packSizes.get(pack) ?? Number.POSITIVE_INFINITY);

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
  for (const pack of checkpoint.read()) {
    if (packSizes.get(pack.pack) !== pack.sizeBytes) continue;
    let offset = 0;
    for (const [digest, length] of pack.members) {
      uploader.remember({ digest: Buffer.from(digest, 'hex'), pack: pack.pack, offset, length });
      offset += length;
    }
  }

  const index = new IndexWriter(writer.salt);
  const runs: Run[] = [];
  let reusedBytes = 0;
  const done = { members: 0, bytes: 0 };
  const fd = fs.openSync(file, 'r');
  try {
    for await (const member of membersOf(manifest)) {
      signal?.throwIfAborted();
      const digest = memberDigest(writer.salt, member.sha256);
      const stored = known.get(digest);
      let place = uploader.placeOf(digest);
      if (place === undefined && stored?.length === member.size && isWorthKeeping(stored.pack))
        place = stored;
      if (place === undefined) place = await uploader.add(digest, readCompressedMember(fd, member));
      else reusedBytes += member.size;
      appendRun(runs, { pack: place.pack, offset: place.offset, length: member.size });
      index.add(digest, member.size);
      done.members++;
      done.bytes += member.size;
      options.progress?.({
        ...done,
        ofMembers: summary.members,
        ofBytes: summary.sizeBytes,
        uploadedBytes: uploader.uploadedBytes,
      });
    }
    await uploader.finish();
  } catch (error) {
    await uploader.abandon();
    throw error;
  } finally {
    fs.closeSync(fd);
  }
  signal?.throwIfAborted();
  const manifestParts = await putManifest(options, manifest, series, archive);
  const put = (key: string, bytes: Uint8Array) =>
    location.put(key, bytes, { retainUntil: options.retainUntil });
  for (const [pack, bytes] of uploader.packBytes) packSizes.set(pack, bytes);
  const packBytes = new Map(runs.map(({ pack }) => [pack, packSizes.get(pack) ?? 0]));
  const text = Buffer.from(
    encodeList(listOf(summary, archive, series, packBytes, runs, manifestParts, sealer !== undefined)),
  );
  await put(indexKey(series, archive), index.bytes());
  // Before the list: a copy that the catalog names and that has no list is none, the reverse would be missed by a sweep.
  await addToCatalog(location, series, writer.id, archive);
  await put(listKey(series, archive), text);
  checkpoint.remove();
  const uploadedBytes =
    uploader.uploadedBytes + index.bytes().length + text.length + fs.statSync(manifest).size;
  return { ...base, outcome: 'copied', uploadedBytes, reusedBytes, packs: uploader.packs };
}

function listOf(
  summary: Summary,
  archive: string,
  series: string,
  packBytes: ReadonlyMap<string, number>,
  runs: readonly Run[],
  manifestParts: number,
  isSealed: boolean,
): ArchiveList {
  const { sizeBytes, sha256, startedAt, warnings } = summary;
  const isComplete = warnings.count === 0;
  return {
    archive,
    series,
    sizeBytes,
    sha256,
    startedAt,
    isSealed,
    isComplete,
    manifestParts,
    packBytes,
    runs,
  };
}

async function* membersOf(manifest: string): AsyncGenerator<Member> {
  for await (const { member } of readMemberLines(manifest)) yield member;
}

/** Bytes of every pack that the location has of the series, by the pack's name. */
async function sizesOfPacks(location: Location, series: string): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const prefix = packsPrefix(series);
  for await (const { key, sizeBytes } of location.list(prefix))
    sizes.set(key.slice(prefix.length), sizeBytes);
  return sizes;
}

/** Members of the newest copies of the series that this writer made, as far as their packs are there. */
async function knownMembers(
  location: Location,
  series: string,
  { salt }: Writer,
  packs: ReadonlyMap<string, number>,
): Promise<KnownMembers> {
  const known = new KnownMembers();
  const lists = await listedArchives(location, series);
  for (const { archive } of lists.slice(0, LISTS_READ)) {
    const [list, index] = [
      await readList(location, series, archive),
      await readIndex(location, series, archive),
    ];
    if (!list || !index || !isOfSalt(index, salt)) continue;
    const where = `${location.url}: the index of ${archive}`;
    for (const member of placedMembers(index, list.runs, where))
      if (packs.has(member.pack)) known.add(member);
  }
  return known;
}

/** Bytes of each known pack that this archive uses. */
async function usageOfPacks(
  manifest: string,
  { salt }: Writer,
  known: KnownMembers,
): Promise<Map<string, number>> {
  const used = new Map<string, number>();
  if (known.size === 0) return used;
  for await (const { sha256, size } of membersOf(manifest)) {
    const place = known.get(memberDigest(salt, sha256));
    if (place) used.set(place.pack, (used.get(place.pack) ?? 0) + size);
  }
  return used;
}

/** Stores the manifest, and tells in how many parts. */
async function putManifest(
  { location, sealer, retainUntil }: CopyOptions,
  manifest: string,
  series: string,
  archive: string,
): Promise<number> {
  const fd = fs.openSync(manifest, 'r');
  try {
    for (let part = 0; ; part++) {
      const bytes = Buffer.allocUnsafe(MANIFEST_PART);
      const count = fs.readSync(fd, bytes, 0, MANIFEST_PART, part * MANIFEST_PART);
      if (count === 0) return part;
      const plain = bytes.subarray(0, count);
      const key = manifestKey(series, archive, part, sealer !== undefined);
      await location.put(key, sealer ? await sealer.seal(plain) : plain, { retainUntil });
      if (count < MANIFEST_PART) return part + 1;
    }
  } finally {
    fs.closeSync(fd);
  }
}
