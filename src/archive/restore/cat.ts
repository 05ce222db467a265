import { createHash } from 'node:crypto';
import { ArchiveError } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import type { TarHandler } from '../format/tar-reader.ts';
import { planPaths, readChosen } from './extract.ts';
import { badDigest } from './tree-writer.ts';

export interface CatOptions {
  /** Gets the content in order. */
  readonly write: (chunk: Buffer) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads one file of an archive, and only the members that hold it. Holes come as zeros.
 * @throws {ArchiveError} Usage when the path is not a file; EntryMissing when the archive does not hold it;
 *   ArchiveCorrupt, after the content, when that does not have the recorded digest.
 */
export async function catEntry(file: string, path: string, { write, signal }: CatOptions): Promise<Entry> {
  const { plan, compression } = await planPaths(file, [path], signal);
  const [first] = plan.outputs;
  const [from, entry] = first ?? [];
  if (from === undefined || entry?.type !== 'file' || plan.outputs.size > 1) {
    const kind = plan.outputs.size === 1 ? entry!.type : 'directory';
    throw new ArchiveError(
      'Usage',
      `${file}: ${JSON.stringify(path)} is a ${kind}, not a file. km-backup extract writes it to disk.`,
    );
  }
  await readChosen(new Printer(from, entry, write), file, compression, plan, signal, () => {});
  return entry;
}

/** A hole of any size is written in pieces of this many bytes. */
const ZEROS = Buffer.alloc(1 << 16);

class Printer implements TarHandler {
  readonly #from: string;
  readonly #entry: Entry;
  readonly #write: (chunk: Buffer) => void;
  readonly #hash = createHash('sha256');
  #wanted = false;
  #position = 0;

  constructor(from: string, entry: Entry, write: (chunk: Buffer) => void) {
    this.#from = from;
    this.#entry = entry;
    this.#write = write;
  }

  entry({ path }: Entry): void {
    this.#wanted = path === this.#from;
  }

  data(chunk: Buffer, offset: number): void {
    if (!this.#wanted) return;
    this.#zerosTo(offset);
    this.#put(chunk);
  }

  endEntry(): void {
    if (!this.#wanted) return;
    this.#wanted = false;
    this.#zerosTo(this.#entry.size);
    const { sha256 } = this.#entry;
    if (sha256 !== undefined && this.#hash.digest('hex') !== sha256) throw badDigest(this.#entry);
  }

  #zerosTo(end: number): void {
    while (this.#position < end) this.#put(ZEROS.subarray(0, Math.min(ZEROS.length, end - this.#position)));
  }

  #put(chunk: Buffer): void {
    this.#hash.update(chunk);
    this.#write(chunk);
    this.#position += chunk.length;
  }
}
