import { type ByteString, display } from './byte-string.ts';
import type { Entry, Extent } from './entry.ts';
import { entryOf } from './tar-entry.ts';
import {
  applyGlobal,
  applyLongName,
  applyPax,
  type Extension,
  emptyExtension,
  type GlobalExtension,
  MAX_EXTENSION,
} from './tar-extension.ts';
import { BLOCK, checkSum, corrupt, isZero, parseDecimal, readNumber, roundUp } from './tar-fields.ts';
import { pairedExtents, readOldExtents, SparseMapText, sparseEntry } from './tar-sparse.ts';

/*
 * Reads tars of any POSIX or GNU origin: v7, ustar, pax (with sparse maps 0.0, 0.1 and 1.0), GNU long names
 * and GNU's old sparse files. node-tar's Header and Parser are not used: they take names as UTF-8, cut pax
 * values at newlines, read times as milliseconds and do not know sparse files. A header that
 * readers interpret differently is refused, so that an entry cannot evade a check.
 */

export interface TarHandler {
  /** Called only with names below the root. For others the reader throws. */
  entry(entry: Entry): void;
  /** Content of the current file, in order. Offsets skip holes. The chunk is valid only during the call. */
  data(chunk: Buffer, offset: number): void;
  /** The current entry is complete. */
  endEntry(): void;
}

type State =
  | { readonly at: 'header' }
  /** In the body of an extended header. */
  | {
      readonly at: 'extension';
      readonly type: string;
      readonly size: number;
      readonly chunks: Buffer[];
      left: number;
    }
  /** In the blocks that continue an old GNU sparse map. */
  | { readonly at: 'sparse-blocks'; readonly header: Header; readonly extents: Extent[] }
  /** In the text before the data of a sparse file of format 1.0. */
  | { readonly at: 'sparse-map'; readonly header: Header; readonly map: SparseMapText }
  | { readonly at: 'data'; readonly plan: readonly Extent[]; index: number; done: number; padding: number }
  | { readonly at: 'skip'; left: number }
  | { readonly at: 'end'; zeroBlocks: number };

interface Header {
  readonly entry: Entry;
  /** Bytes of content in the tar. */
  readonly packed: number;
  /** Size of the sparse file. */
  readonly realSize: number;
}

/**
 * Push parser: give it the tar in pieces of any size, then call `end`.
 * @throws {ArchiveError} ArchiveCorrupt, or RestoreRefused for an entry that no restore may write.
 */
export class TarReader {
  readonly #handler: TarHandler;
  #state: State = { at: 'header' };
  readonly #global: GlobalExtension = {};
  #extension: Extension | undefined;
  /** Bytes of the extended headers of the next entry. */
  #extensionBytes = 0;
  #rest: Buffer = Buffer.alloc(0);
  /** Tar bytes consumed, for messages. */
  #position = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  push(chunk: Buffer): void {
    let input = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    while (input.length > 0) {
      const used = this.#take(input);
      if (used === 0) break;
      this.#position += used;
      input = input.subarray(used);
    }
    // Copied: the caller may reuse the chunk.
    this.#rest = Buffer.from(input);
  }

  /** Whether the reader is between two entries, with no input left over. */
  get atBoundary(): boolean {
    return this.#state.at === 'header' && this.#extension === undefined && this.#rest.length === 0;
  }

  get ended(): boolean {
    return this.#state.at === 'end' && this.#state.zeroBlocks >= 2;
  }

  /** Refuses a tar that stops before its two zero blocks. One that is cut between two gzip members looks whole otherwise. */
  end(): void {
    if (!this.ended || this.#rest.length > 0) {
      throw corrupt(this.#position, 'it ends before its end-of-archive mark, so it was cut short');
    }
  }

  /** Returns the bytes used. 0 asks for more. */
  #take(input: Buffer): number {
    const state = this.#state;
    switch (state.at) {
      case 'data':
        return this.#takeData(state, input);
      case 'skip': {
        const used = Math.min(state.left, input.length);
        state.left -= used;
        if (state.left === 0) this.#state = { at: 'header' };
        return used;
      }
      case 'extension': {
        const used = Math.min(state.left, input.length);
        state.chunks.push(Buffer.from(input.subarray(0, used)));
        state.left -= used;
        if (state.left === 0) {
          this.#state = { at: 'header' };
          this.#applyExtension(state.type, Buffer.concat(state.chunks).subarray(0, state.size));
        }
        return used;
      }
      default:
        if (input.length < BLOCK) return 0;
        this.#takeBlock(state, input.subarray(0, BLOCK));
        return BLOCK;
    }
  }

  #takeBlock(state: Exclude<State, { at: 'data' | 'skip' | 'extension' }>, block: Buffer): void {
    const at = this.#position;
    switch (state.at) {
      case 'header':
        if (!isZero(block)) this.#takeHeader(block);
        else if (this.#extension) throw corrupt(at, 'an extended header is followed by no entry');
        else this.#state = { at: 'end', zeroBlocks: 1 };
        return;
      case 'end':
        if (!isZero(block)) {
          const what = state.zeroBlocks === 1 ? 'a lone zero block' : 'data follow the end-of-archive mark';
          throw corrupt(at, what);
        }
        state.zeroBlocks++;
        return;
      case 'sparse-blocks':
        readOldExtents(block, 0, 21, state.extents, at);
        if (block[504] === 0) this.#beginSparse(state.header, state.extents);
        return;
      case 'sparse-map': {
        const { header, map } = state;
        const extents = map.add(block, at);
        const packed = header.packed - map.length;
        if (packed < 0 || map.length > MAX_EXTENSION) throw corrupt(at, 'a sparse map without end');
        if (extents) this.#beginSparse({ ...header, packed }, extents);
      }
    }
  }

  #takeHeader(block: Buffer): void {
    const at = this.#position;
    checkSum(block, at);
    const type = block[156] === 0 ? '0' : String.fromCharCode(block[156]!);
    const size = readNumber(block, 124, 12, 'size', at);
    if (size < 0) throw corrupt(at, 'a negative size');
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      this.#beginExtension(type, size);
      return;
    }
    // The label of a GNU volume.
    if (type === 'V') {
      this.#skip(roundUp(size));
      return;
    }
    const extension = this.#extension;
    this.#extension = undefined;
    this.#extensionBytes = 0;
    const { entry, packed } = entryOf(block, type, extension, this.#global, at);
    if (type === 'S') this.#beginOldSparse(block, entry, packed);
    else if (entry.type === 'file' && extension && isSparse(extension)) {
      this.#beginPaxSparse(entry, packed, extension);
    } else this.#begin(entry, entry.size === 0 ? [] : [[0, entry.size]], entry.size);
  }

  #beginExtension(type: string, size: number): void {
    const at = this.#position;
    this.#extensionBytes += type === 'g' ? 0 : BLOCK + size;
    if (size > MAX_EXTENSION) throw corrupt(at, `an extended header of ${size} bytes`);
    if (this.#extensionBytes > MAX_EXTENSION) {
      throw corrupt(at, `extended headers of ${this.#extensionBytes} bytes for one entry`);
    }
    if (size === 0) this.#applyExtension(type, Buffer.alloc(0));
    else this.#state = { at: 'extension', type, size, chunks: [], left: roundUp(size) };
  }

  #applyExtension(type: string, body: Buffer): void {
    const at = this.#position;
    if (type === 'g') {
      applyGlobal(this.#global, body, at);
      return;
    }
    this.#extension ??= emptyExtension();
    if (type === 'x') applyPax(this.#extension, body, at);
    else applyLongName(this.#extension, type, body);
  }

  #beginOldSparse(block: Buffer, entry: Entry, packed: number): void {
    const at = this.#position;
    const extents: Extent[] = [];
    readOldExtents(block, 386, 4, extents, at);
    const header = { entry, packed, realSize: readNumber(block, 483, 12, 'real size', at) };
    if (block[482] === 0) this.#beginSparse(header, extents);
    else this.#state = { at: 'sparse-blocks', header, extents };
  }

  #beginPaxSparse(entry: Entry, packed: number, { sparse, sparsePairs }: Extension): void {
    const at = this.#position;
    const realSize = parseDecimal(sparse.get('realsize') ?? sparse.get('size'), 'real size', at);
    const header = { entry, packed, realSize };
    const major = sparse.get('major') ?? '0';
    if (major === '1') this.#state = { at: 'sparse-map', header, map: new SparseMapText() };
    else if (major === '0') this.#beginSparse(header, pairedExtents(sparsePairs, sparse.get('map'), at));
    else throw corrupt(at, `a sparse format ${display(major as ByteString)}`);
  }

  #beginSparse({ entry, packed, realSize }: Header, all: readonly Extent[]): void {
    const sparse = sparseEntry(entry, realSize, packed, all, this.#position);
    this.#begin(sparse, sparse.extents, packed);
  }

  #begin(entry: Entry, plan: readonly Extent[], packed: number): void {
    this.#handler.entry(entry);
    if (plan.length === 0) {
      this.#handler.endEntry();
      this.#state = { at: 'header' };
      return;
    }
    this.#state = { at: 'data', plan, index: 0, done: 0, padding: roundUp(packed) - packed };
  }

  #takeData(state: Extract<State, { at: 'data' }>, input: Buffer): number {
    let used = 0;
    while (used < input.length && state.index < state.plan.length) {
      const [offset, length] = state.plan[state.index]!;
      const count = Math.min(length - state.done, input.length - used);
      this.#handler.data(input.subarray(used, used + count), offset + state.done);
      used += count;
      state.done += count;
      if (state.done === length) {
        state.index++;
        state.done = 0;
      }
    }
    if (state.index === state.plan.length) {
      this.#handler.endEntry();
      this.#skip(state.padding);
    }
    return used;
  }

  #skip(left: number): void {
    this.#state = left === 0 ? { at: 'header' } : { at: 'skip', left };
  }
}

function isSparse({ sparse, sparsePairs }: Extension): boolean {
  return sparse.size > 0 || sparsePairs.length > 0;
}
