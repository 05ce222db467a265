import { chmodSync, closeSync, lstatSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { isSystemError } from '../../posix/system-error.ts';
import { archiveInfo, refuseProblem } from '../destination/inventory.ts';
import { ArchiveError, readError, writeError } from '../errors.ts';
import { type ByteString, ROOT, toPath } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { Member } from '../format/manifest.ts';
import { readMemberLines } from '../format/manifest-reader.ts';
import { readMember } from '../format/members.ts';
import { type Compression, manifestNameOf } from '../format/names.ts';
import { openFile } from '../format/open-file.ts';
import { type TarHandler, TarReader } from '../format/tar-reader.ts';
import { EntryGate } from './entry-gate.ts';
import { chosenPath, type ExtractPlan, planExtract } from './extract-plan.ts';
import { FileSink, TreeWriter } from './tree-writer.ts';

export interface ExtractOptions {
  /** Paths within the archive. A directory brings everything below it. */
  readonly paths: readonly string[];
  /** Existing directory to write below. */
  readonly directory: string;
  /** Give entries their recorded owner; takes root. */
  readonly owner: boolean;
  /** Keep setuid and setgid bits and capabilities of files. */
  readonly preserveSetid?: boolean;
  readonly warn: (path: ByteString, message: string) => void;
  readonly signal?: AbortSignal | undefined;
  /** Called after each member; bytes are compressed ones. */
  readonly progress?: ((progress: ExtractProgress) => void) | undefined;
}

export interface ExtractProgress {
  readonly entries: number;
  readonly ofEntries: number;
  readonly bytes: number;
  readonly ofBytes: number;
}

export interface Extracted {
  /** Entries written. */
  readonly entries: number;
  /** Entries left out, each with a warning. */
  readonly skipped: number;
  /** Compressed bytes read. */
  readonly bytesRead: number;
}

/**
 * Writes chosen entries of an archive, reading only the members that hold them. Replaces nothing: a file that exists
 * is refused, and a directory that exists keeps its mode and owner.
 * @throws {ArchiveError} EntryMissing, before anything is written, when a path is not in the archive.
 */
export async function extractEntries(file: string, options: ExtractOptions): Promise<Extracted> {
  const { plan, compression } = await planPaths(file, options.paths, options.signal);
  const writer = new ChosenWriter(plan, options);
  try {
    const ofEntries = plan.outputs.size + plan.links.length;
    const ofBytes = plan.members.reduce((sum, { size }) => sum + size, 0);
    const bytesRead = await readChosen(writer, file, compression, plan, options.signal, (bytes) =>
      options.progress?.({ entries: writer.written, ofEntries, bytes, ofBytes }),
    );
    writer.finish();
    return { entries: writer.written, skipped: writer.skipped, bytesRead };
  } catch (error) {
    throw isSystemError(error) ? writeError(error, options.directory) : error;
  } finally {
    writer[Symbol.dispose]();
  }
}

/**
 * The members that `extractEntries` would read, in the archive's order. Needs the manifest only.
 * @param name of the archive, for its reader
 * @throws {ArchiveError} EntryMissing, Usage
 */
export async function membersOfPaths(
  file: string,
  paths: readonly string[],
  signal?: AbortSignal,
  name = file,
): Promise<Pick<ExtractPlan, 'members' | 'elsewhere'>> {
  return await planExtract(name, new Set(paths.map(chosenPath)), () => members(file, signal));
}

async function* members(file: string, signal: AbortSignal | undefined) {
  for await (const member of readMemberLines(manifestNameOf(file))) {
    signal?.throwIfAborted();
    yield member;
  }
}

/**
 * What has to be read for these paths, and how.
 * @throws {ArchiveError} EntryMissing when the archive does not hold one of them, ArchiveMissing when it has no manifest.
 */
export async function planPaths(
  file: string,
  paths: readonly string[],
  signal: AbortSignal | undefined,
): Promise<{ plan: ExtractPlan; compression: Compression }> {
  const info = archiveInfo(file);
  const { summary } = info;
  refuseProblem(info, { corrupt: '. Use another archive, or tar -xzf for what is left of this one.' });
  if (!summary) {
    throw new ArchiveError(
      'ArchiveMissing',
      `${file} has no manifest, which says where its entries are. Use tar -xzf, or km-backup restore.`,
    );
  }
  const plan = await planExtract(file, new Set(paths.map(chosenPath)), () => members(file, signal));
  return { plan, compression: summary.compression };
}

/** Reads the members of the plan into the handler. Resolves with the number of compressed bytes. */
export async function readChosen(
  handler: TarHandler,
  file: string,
  compression: Compression,
  plan: ExtractPlan,
  signal: AbortSignal | undefined,
  onMember: (bytes: number) => void,
): Promise<number> {
  const reader = new TarReader(handler);
  const fd = openFile(file);
  let bytes = 0;
  try {
    for (const member of plan.members) {
      signal?.throwIfAborted();
      reader.push(readOne(fd, member, compression, file));
      bytes += member.size;
      onMember(bytes);
      // Lets a signal in.
      await setImmediate();
    }
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/** What fails here failed while reading, not while writing below the directory. */
function readOne(fd: number, member: Member, compression: Compression, file: string): Buffer {
  try {
    return readMember(fd, member, compression);
  } catch (error) {
    throw readError(error, file);
  }
}

/** Writes what the plan says as the tar brings it. */
class ChosenWriter implements Disposable {
  written = 0;
  skipped = 0;
  readonly #plan: ExtractPlan;
  readonly #options: ExtractOptions;
  readonly #gate: EntryGate;
  readonly #writer: TreeWriter;
  /** Directories made here, parents first: they get mode and times when everything is in them. */
  readonly #made = new Map<ByteString, Entry | undefined>();
  #parentsDone = false;
  #sink: FileSink | undefined;

  constructor(plan: ExtractPlan, options: ExtractOptions) {
    this.#plan = plan;
    this.#options = options;
    this.#gate = new EntryGate({ preserveSetid: options.preserveSetid ?? false, skipDevices: true });
    this.#writer = new TreeWriter(options.directory, options);
  }

  entry(found: Entry): void {
    if (!this.#parentsDone) {
      this.#parentsDone = true;
      for (const parent of this.#plan.parents) this.#write(parent);
    }
    const wanted = this.#plan.outputs.get(found.path);
    if (wanted && this.#write(wanted)) this.written++;
  }

  data(chunk: Buffer, offset: number): void {
    this.#sink?.write(chunk, offset);
  }

  endEntry(): void {
    try {
      this.#sink?.finish();
    } finally {
      this.#sink?.close();
      this.#sink = undefined;
    }
  }

  /** After the last member. */
  finish(): void {
    for (const link of this.#plan.links) if (this.#write(link)) this.written++;
  }

  /** Gives the directories made here their modes, even when the rest failed. */
  [Symbol.dispose](): void {
    try {
      this.#sink?.close();
      for (const [path, entry] of [...this.#made].reverse()) {
        if (entry) this.#writer.finishDirectory(entry);
        else chmodSync(toPath(this.#writer.locate(path)), 0o755);
      }
    } finally {
      this.#writer[Symbol.dispose]();
    }
  }

  /** Whether anything was written for it. */
  #write(wanted: Entry): boolean {
    const admission = this.#gate.admit(wanted);
    if (admission.kind === 'skip') {
      this.skipped++;
      this.#options.warn(wanted.path, `left out: it ${admission.why}`);
      return false;
    }
    const { entry, implied } = admission;
    if (entry !== wanted) this.#options.warn(entry.path, 'setuid, setgid or capabilities removed');
    for (const parent of implied) this.#directory(parent, undefined);
    if (entry.path === ROOT) return false;
    switch (entry.type) {
      case 'directory':
        this.#directory(entry.path, entry);
        break;
      case 'file':
        this.#sink = new FileSink(this.#writer, entry);
        break;
      case 'symlink':
        this.#writer.symlink(entry);
        break;
      case 'hardlink':
        this.#writer.hardlink(entry);
        break;
      default:
        this.#writer.fifo(entry);
    }
    return true;
  }

  #directory(path: ByteString, entry: Entry | undefined): void {
    const isNew = !lstatSync(toPath(this.#writer.locate(path)), { throwIfNoEntry: false });
    this.#writer.directory(path);
    if (isNew || this.#made.has(path)) this.#made.set(path, entry);
  }
}
