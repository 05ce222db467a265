import fs from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, toPath } from '../format/byte-string.ts';
import { dataBytes, type Entry } from '../format/entry.ts';
import type { Member } from '../format/manifest.ts';
import { readManifest } from '../format/manifest-reader.ts';
import { manifestNameOf } from '../format/names.ts';
import { readTar } from '../format/read-tar.ts';
import { packedSize, padded } from '../format/tar-header.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import type { RestoreJobs } from './jobs.ts';
import type { RestoreProgress } from './progress.ts';
import { type Restored, type RestoreMember, restoreMembers } from './restore-members.ts';
import type { Source } from './source.ts';
import { FileSink, TreeWriter } from './tree-writer.ts';
import { type Admission, EntryGate, isSkipped, type RestorePolicy } from './validate.ts';

export interface StageOptions {
  readonly policy: RestorePolicy;
  readonly owner: boolean;
  readonly signal: AbortSignal | undefined;
  readonly warn: (path: ByteString, message: string) => void;
  readonly progress: (progress: RestoreProgress) => void;
}

export interface Totals {
  entries: number;
  files: number;
  dataBytes: number;
  stripped: number;
}

/** A member as the manifest lists it. */
interface Listed {
  readonly member: Member;
  readonly lines: string;
  readonly entries: number;
  readonly files: number;
  /** Of the files that lie whole in it, holes left out. */
  readonly bytes: number;
  /** Its entries but for those that are files and no more: with these only the thread that unpacks them deals. */
  readonly noted: readonly Noted[];
}

interface Noted {
  readonly given: Entry;
  readonly admission: Admission;
}

const MAX_LISTED = 50_000;
/** Jobs for each thread: one in work, one at hand, one waiting. */
const AHEAD = 3;
const BATCH_ENTRIES = 128;
const BATCH_BYTES = 2 * 1024 * 1024;

/**
 * Validates every entry, without writing anything. Of a source without a manifest this reads and checks the
 * whole archive; of one with a manifest its contents are checked later, as they are unpacked.
 */
export async function validate(
  source: Source,
  { policy, signal, warn, progress }: StageOptions,
): Promise<Validated> {
  const gate = new EntryGate(policy);
  let listing: Listed[] | undefined;
  const tell = ({ given, admission }: Noted) => {
    if (admission.kind === 'skip') warn(given.path, `left out: it ${admission.why}`);
    else if (admission.entry !== given) warn(given.path, 'setuid, setgid or capabilities removed');
  };
  if (source.against === 'manifest') {
    listing = [];
    for await (const listed of list(source.info.path, gate)) {
      signal?.throwIfAborted();
      listed.noted.forEach(tell);
      listing?.push(listed);
      if (gate.entries > MAX_LISTED) listing = undefined;
      progress({ phase: 'validating', files: gate.files, ofFiles: source.summary.files });
    }
  } else {
    const entry = (given: Entry) => tell({ given, admission: gate.admit(given) });
    const nothing = () => {};
    const read = (bytes: number) =>
      progress({
        phase: 'validating',
        files: gate.files,
        ofFiles: undefined,
        bytes,
        ofBytes: source.info.sizeBytes,
      });
    await readWhole(source, { entry, data: nothing, endEntry: nothing, read }, signal);
  }
  // Copied: the gate holds every path.
  const { entries, files, dataBytes, stripped } = gate;
  return { totals: { entries, files, dataBytes, stripped }, listing };
}

/** As readTar, in words for who restores. */
async function readWhole(
  { info: { path }, compression }: Extract<Source, { against: 'structure' }>,
  handler: Parameters<typeof readTar>[2],
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await readTar(path, compression, handler, signal);
  } catch (error) {
    if (!(error instanceof ArchiveError) || error.reason !== 'ArchiveCorrupt') throw error;
    throw new ArchiveError(error.reason, `${path}: ${error.message}. Nothing was changed.`, { cause: error });
  }
}

/** Reads the manifest and admits all its entries. */
async function* list(archive: string, gate: EntryGate): AsyncGenerator<Listed> {
  for await (const { member, entries, lines } of readManifest(manifestNameOf(archive))) {
    const noted: Noted[] = [];
    const filesBefore = gate.files;
    let bytes = -gate.dataBytes;
    for (const given of entries) {
      const admission = gate.admit(given);
      if (!isPlainFile(given, admission)) noted.push({ given, admission });
      if (given.parts !== undefined) bytes -= bytesOf(admission);
    }
    bytes += gate.dataBytes;
    yield { member, lines, entries: entries.length, files: gate.files - filesBefore, bytes, noted };
  }
}

function bytesOf(admission: Admission): number {
  return admission.kind === 'restore' && admission.entry.type === 'file' ? dataBytes(admission.entry) : 0;
}

function isPlainFile(given: Entry, admission: Admission): boolean {
  return (
    given.type === 'file' &&
    given.parts === undefined &&
    admission.kind === 'restore' &&
    admission.entry === given &&
    admission.implied.length === 0
  );
}

/** What `validate` found. */
export interface Validated {
  readonly totals: Totals;
  /** What the manifest lists, kept from one reading to the next where that is little. */
  readonly listing: readonly Listed[] | undefined;
}

/** Checks the contents of a source that has a manifest, in parallel. */
export async function check(
  source: Extract<Source, { against: 'manifest' }>,
  validated: Validated,
  options: StageOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<void> {
  await unpackMembers(source, validated, undefined, options, pool);
}

/**
 * Unpacks into an empty directory that nobody else uses. Symlinks and hard links come last, so that nothing
 * is ever written through one; directories get their times when all is in them.
 */
export async function stage(
  source: Source,
  validated: Validated,
  root: string,
  options: StageOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<void> {
  using tree = new StagedTree(root, options);
  if (source.against === 'manifest') await unpackMembers(source, validated, tree, options, pool);
  else await unpackStream(source, validated.totals, tree, options);
  tree.finish();
}

class StagedTree implements Disposable {
  readonly root: string;
  readonly writer: TreeWriter;
  readonly #directories = new Map<ByteString, Entry | undefined>();
  readonly #symlinks: Entry[] = [];
  readonly #hardlinks: Entry[] = [];

  constructor(root: string, { owner, warn }: StageOptions) {
    this.root = root;
    this.writer = new TreeWriter(root, { owner, warn });
  }

  /** Makes or notes everything but the content of files. Undefined for what is left out. */
  add(admission: Admission): Entry | undefined {
    if (admission.kind === 'skip') return undefined;
    const { entry, implied } = admission;
    for (const path of implied) {
      this.writer.directory(path);
      this.#directories.set(path, undefined);
    }
    switch (entry.type) {
      case 'directory':
        if (entry.path !== '' && !this.#directories.has(entry.path)) this.writer.directory(entry.path);
        this.#directories.set(entry.path, entry);
        break;
      case 'fifo':
        this.writer.fifo(entry);
        break;
      case 'symlink':
        this.#symlinks.push(entry);
        break;
      case 'hardlink':
        this.#hardlinks.push(entry);
        break;
      default:
        break;
    }
    return entry;
  }

  finish(): void {
    for (const entry of this.#symlinks) this.writer.symlink(entry);
    for (const entry of this.#hardlinks) this.writer.hardlink(entry);
    // Parents were noted before what they hold, so backwards is deepest first.
    for (const [path, entry] of [...this.#directories].reverse()) {
      if (entry) this.writer.finishDirectory(entry);
      else fs.chmodSync(toPath(this.writer.locate(path)), 0o755);
    }
  }

  [Symbol.dispose](): void {
    this.writer[Symbol.dispose]();
  }
}

async function unpackStream(
  source: Extract<Source, { against: 'structure' }>,
  { files: ofFiles }: Totals,
  tree: StagedTree,
  { policy, signal, progress }: StageOptions,
): Promise<void> {
  const gate = new EntryGate(policy);
  const ofBytes = source.info.sizeBytes;
  let sink: FileSink | undefined;
  try {
    await readWhole(
      source,
      {
        entry: (given) => {
          const entry = tree.add(gate.admit(given));
          if (entry?.type === 'file') sink = new FileSink(tree.writer, entry);
        },
        data: (chunk, offset) => sink?.write(chunk, offset),
        endEntry: () => {
          sink?.finish();
          sink?.close();
          sink = undefined;
        },
        read: (bytes) => progress({ phase: 'unpacking', files: gate.files, ofFiles, bytes, ofBytes }),
      },
      signal,
    );
  } finally {
    sink?.close();
  }
}

async function unpackMembers(
  source: Extract<Source, { against: 'manifest' }>,
  { totals, listing }: Validated,
  tree: StagedTree | undefined,
  { policy, owner, signal, warn, progress }: StageOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<void> {
  const { info, summary } = source;
  const running = new Set<Promise<void>>();
  const done = { files: 0, bytes: 0 };
  const told = () =>
    progress({
      phase: tree ? 'unpacking' : 'checking',
      files: done.files,
      ofFiles: totals.files,
      bytes: done.bytes,
      ofBytes: totals.dataBytes,
    });
  told();
  let failure: unknown;
  const finish = ({ files, bytes }: Batch, { warnings }: Restored) => {
    for (const { path, message } of warnings) warn(path, message);
    done.files += files;
    done.bytes += bytes;
    told();
  };
  const send = async (work: Batch): Promise<void> => {
    if (failure !== undefined) throw failure;
    signal?.throwIfAborted();
    const job = {
      path: info.path,
      compression: summary.compression,
      members: work.members,
      root: tree?.root,
      policy,
      owner,
    } as const;
    if (running.size >= AHEAD * pool.size) {
      // The threads have enough to do, so this one does its share, and lets answers and signals in.
      finish(work, restoreMembers(job));
      return await setImmediate();
    }
    const answered = pool
      .run('restore', job)
      .then((restored) => finish(work, restored))
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => running.delete(answered));
    running.add(answered);
  };
  const settle = async () => {
    while (running.size > 0) await Promise.race(running);
    if (failure !== undefined) throw failure;
  };

  let batch = emptyBatch();
  const flush = async () => {
    if (batch.members.length === 0) return;
    const work = batch;
    batch = emptyBatch();
    await send(work);
  };

  const large: Entry[] = [];
  let current: Sliced | undefined;
  try {
    for await (const listed of listing ?? list(info.path, new EntryGate(policy))) {
      const { member, lines, noted } = listed;
      if (member.kind === 'part' && !current) throw incomplete(info.path, 'a slice of no file');
      if (member.kind !== 'part') checkSlices(info.path, current);
      let started: Sliced | undefined;
      for (const { given, admission } of noted) {
        if (given.parts !== undefined) started = { entry: given, start: 0, bytesLeft: bytesOf(admission) };
        const entry = tree?.add(admission);
        if (!tree || entry?.type !== 'file' || entry.parts === undefined) continue;
        const fd = tree.writer.create(entry.path);
        try {
          fs.ftruncateSync(fd, entry.size);
        } finally {
          fs.closeSync(fd);
        }
        large.push(entry);
      }
      const part = member.kind === 'part' && current && !isSkipped(current.entry) ? current : undefined;
      batch.members.push({
        member,
        lines,
        ...(part ? { part: { entry: part.entry, start: part.start } } : {}),
      });
      batch.entries += listed.entries;
      batch.rawBytes += member.rawSize;
      batch.files += listed.files;
      batch.bytes += listed.bytes;
      if (member.kind === 'part' && current) {
        const { entry, start, bytesLeft } = current;
        const bytes = Math.min(bytesLeft, member.rawSize);
        batch.bytes += bytes;
        current = { entry, start: start + member.rawSize, bytesLeft: bytesLeft - bytes };
      } else current = started;
      if (batch.entries >= BATCH_ENTRIES || batch.rawBytes >= BATCH_BYTES) await flush();
    }
    checkSlices(info.path, current);
    await flush();
    await settle();
  } catch (error) {
    // The staging must not be removed under threads that still write to it.
    await Promise.allSettled(running);
    throw error;
  }
  if (!tree) return;
  for (const entry of large) {
    const fd = tree.writer.reopen(entry.path);
    try {
      tree.writer.finishFile(entry, fd);
    } finally {
      fs.closeSync(fd);
    }
  }
}

/** Members that make up one job, and what they count for. */
interface Batch {
  readonly members: RestoreMember[];
  entries: number;
  rawBytes: number;
  files: number;
  bytes: number;
}

function emptyBatch(): Batch {
  return { members: [], entries: 0, rawBytes: 0, files: 0, bytes: 0 };
}

/** A large file whose slices follow. */
interface Sliced {
  readonly entry: Entry;
  /** Where the next slice starts, in packed bytes. */
  readonly start: number;
  /** Of its content, holes left out. */
  readonly bytesLeft: number;
}

/** A large file's slices must make up the whole of it. */
function checkSlices(archive: string, file: Sliced | undefined): void {
  if (!file || file.start === padded(packedSize(file.entry))) return;
  throw incomplete(
    archive,
    `${file.start} bytes of '${display(file.entry.path)}', which has ${packedSize(file.entry)}`,
  );
}

function incomplete(archive: string, what: string): ArchiveError {
  return new ArchiveError('ManifestInvalid', `${archive}: its manifest lists ${what}. Nothing was changed.`);
}
