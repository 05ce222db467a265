import fs from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { type ByteString, display, toPath } from './byte-string.ts';
import { ArchiveError } from './errors.ts';
import { manifestNameOf } from './managed-name.ts';
import { type Entry, type Member, readManifest } from './manifest.ts';
import { type Restored, type RestoreMember, restoreMembers } from './restore-member.ts';
import { readTar, type Source } from './restore-source.ts';
import { type Admission, EntryGate, isSkipped, type RestorePolicy } from './restore-validate.ts';
import { FileSink, TreeWriter } from './restore-write.ts';
import { packedSize, padded } from './tar-header.ts';
import type { WorkerPool } from './worker-pool.ts';

export interface StageOptions {
  readonly policy: RestorePolicy;
  readonly owner: boolean;
  readonly signal: AbortSignal | undefined;
  readonly warn: (path: ByteString, message: string) => void;
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
  /** Its entries but for those that are files and no more: with these only the thread that unpacks them deals. */
  readonly noted: readonly Noted[];
}

interface Noted {
  readonly given: Entry;
  readonly admission: Admission;
}

/** What a manifest lists, kept from one reading to the next where that is little. */
export type Listing = readonly Listed[];

const MAX_LISTED = 50_000;
/** Jobs for each thread, done or waiting: enough that a long restore gets all of several (see WorkerPool). */
const AHEAD = 8;
/** Of a single one: one in work, one at hand, one waiting. */
const AHEAD_ONE = 3;
const BATCH_ENTRIES = 128;
const BATCH_BYTES = 2 * 1024 * 1024;

/**
 * Validates every entry, without writing anything. Of a source without a manifest this reads and checks the
 * whole archive; of one with a manifest its contents are checked later, as they are unpacked.
 */
export async function validate(
  source: Source,
  { policy, signal, warn }: StageOptions,
): Promise<{ totals: Totals; listing: Listing | undefined }> {
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
    }
  } else {
    const entry = (given: Entry) => tell({ given, admission: gate.admit(given) });
    const nothing = () => {};
    await readTar(source.info.path, source.compression, { entry, data: nothing, endEntry: nothing }, signal);
  }
  // Copied: the gate holds every path.
  const { entries, files, dataBytes, stripped } = gate;
  return { totals: { entries, files, dataBytes, stripped }, listing };
}

/** Reads the manifest and admits all its entries. */
async function* list(archive: string, gate: EntryGate): AsyncGenerator<Listed> {
  for await (const { member, entries, lines } of readManifest(manifestNameOf(archive))) {
    const noted: Noted[] = [];
    for (const given of entries) {
      const admission = gate.admit(given);
      if (!isPlainFile(given, admission)) noted.push({ given, admission });
    }
    yield { member, lines, entries: entries.length, noted };
  }
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

/** Checks the contents of a source that has a manifest, in parallel. */
export async function check(
  source: Extract<Source, { against: 'manifest' }>,
  listing: Listing | undefined,
  options: StageOptions,
  pool: WorkerPool,
): Promise<void> {
  await unpackMembers(source, listing, undefined, options, pool);
}

/**
 * Unpacks into an empty directory that nobody else uses. Symlinks and hard links come last, so that nothing
 * is ever written through one; directories get their times when all is in them.
 */
export async function stage(
  source: Source,
  listing: Listing | undefined,
  root: string,
  options: StageOptions,
  pool: WorkerPool,
): Promise<void> {
  using tree = new StagedTree(root, options);
  if (source.against === 'manifest') await unpackMembers(source, listing, tree, options, pool);
  else await unpackStream(source, tree, options);
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
  tree: StagedTree,
  { policy, signal }: StageOptions,
): Promise<void> {
  const gate = new EntryGate(policy);
  let sink: FileSink | undefined;
  try {
    await readTar(
      source.info.path,
      source.compression,
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
      },
      signal,
    );
  } finally {
    sink?.close();
  }
}

async function unpackMembers(
  source: Extract<Source, { against: 'manifest' }>,
  listing: Listing | undefined,
  tree: StagedTree | undefined,
  { policy, owner, signal, warn }: StageOptions,
  pool: WorkerPool,
): Promise<void> {
  const { info, summary } = source;
  const running = new Set<Promise<void>>();
  const window = pool.size === 1 ? AHEAD_ONE : AHEAD * pool.size;
  let failure: unknown;
  const tell = ({ warnings }: Restored) => {
    for (const { path, message } of warnings) warn(path, message);
  };
  const send = async (members: readonly RestoreMember[]): Promise<void> => {
    if (failure !== undefined) throw failure;
    signal?.throwIfAborted();
    const job = {
      kind: 'restore',
      path: info.path,
      compression: summary.compression,
      members,
      root: tree?.root,
      policy,
      owner,
    } as const;
    if (running.size >= window) {
      // The threads have enough to do, so this one does its share, and lets answers and signals in.
      tell(restoreMembers(job));
      return await setImmediate();
    }
    const done = pool
      .run(job)
      .then(tell)
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => running.delete(done));
    running.add(done);
  };
  const settle = async () => {
    while (running.size > 0) await Promise.race(running);
    if (failure !== undefined) throw failure;
  };

  let batch: RestoreMember[] = [];
  let batchEntries = 0;
  let batchBytes = 0;
  const flush = async () => {
    if (batch.length === 0) return;
    const members = batch;
    batch = [];
    batchEntries = 0;
    batchBytes = 0;
    await send(members);
  };

  const large: Entry[] = [];
  let current: { entry: Entry; start: number } | undefined;
  try {
    for await (const { member, entries, lines, noted } of listing ?? list(info.path, new EntryGate(policy))) {
      if (member.kind === 'part' && !current) throw incomplete(info.path, 'a slice of no file');
      if (member.kind !== 'part') checkSlices(info.path, current);
      let started: Entry | undefined;
      for (const { given, admission } of noted) {
        if (given.parts !== undefined) started = given;
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
      batch.push({ member, lines, ...(part ? { part } : {}) });
      batchEntries += entries;
      batchBytes += member.rawSize;
      if (member.kind === 'part' && current)
        current = { entry: current.entry, start: current.start + member.rawSize };
      else current = started ? { entry: started, start: 0 } : undefined;
      if (batchEntries >= BATCH_ENTRIES || batchBytes >= BATCH_BYTES) await flush();
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

/** A large file's slices must make up the whole of it. */
function checkSlices(archive: string, file: { entry: Entry; start: number } | undefined): void {
  if (!file || file.start === padded(packedSize(file.entry))) return;
  throw incomplete(
    archive,
    `${file.start} bytes of '${display(file.entry.path)}', which has ${packedSize(file.entry)}`,
  );
}

function incomplete(archive: string, what: string): ArchiveError {
  return new ArchiveError('ManifestInvalid', `${archive}: its manifest lists ${what}. Nothing was changed.`);
}
