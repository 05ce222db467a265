import { ArchiveError } from '../errors.ts';
import type { ByteString } from './byte-string.ts';
import { display, fromBuffer } from './byte-string.ts';
import type { Entry, EntryType, Extent } from './entry.ts';
import { normalizeName } from './entry-name.ts';

/*
 * Reads tars of any POSIX or GNU origin: v7, ustar, pax (with sparse maps 0.0, 0.1 and 1.0), GNU long names
 * and GNU's old sparse files. node-tar's Header and Parser are not used here: they take names as UTF-8,
 * cut pax values at newlines, read times as milliseconds and do not know sparse files. Wherever readers in
 * the field disagree on a header, this one refuses, so that nobody smuggles an entry past a check.
 */

const BLOCK = 512;
const MAX_EXTENSION = 16 * 1024 * 1024;
const MAX_EXTENTS = 4 * 1024 * 1024;

export interface TarHandler {
  /** A name that cannot lie below the root throws before this is called. */
  entry(entry: Entry): void;
  /** Content of the current file in order; `offset` jumps over holes. The chunk is only lent. */
  data(chunk: Buffer, offset: number): void;
  /** All of the current entry's content was given. */
  endEntry(): void;
}

interface Extension {
  path?: ByteString;
  linkpath?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: string;
  xattrs?: Record<string, string>;
  sparse: Map<string, string>;
  sparsePairs: number[];
}

type State =
  | { readonly at: 'header' }
  /** Collecting the body of an extension header. */
  | {
      readonly at: 'extension';
      readonly type: string;
      readonly size: number;
      readonly chunks: Buffer[];
      left: number;
    }
  /** Further blocks of an old GNU sparse map. */
  | { readonly at: 'sparse-blocks'; readonly header: Header; readonly extents: Extent[] }
  /** The text before a 1.0 sparse file's data. */
  | {
      readonly at: 'sparse-map';
      readonly header: Header;
      readonly chunks: Buffer[];
      packed: number;
      lines: number;
      lastLine: number | undefined;
    }
  | { readonly at: 'data'; readonly plan: readonly Extent[]; index: number; done: number; padding: number }
  | { readonly at: 'skip'; left: number }
  | { readonly at: 'end'; zeroBlocks: number };

interface Header {
  readonly entry: Entry;
  /** Bytes of content as stored. */
  readonly packed: number;
  readonly realSize: number | undefined;
}

/** Push parser: give it the tar in pieces of any size, then call `end`. Throws `ArchiveCorrupt` or `RestoreRefused`. */
export class TarReader {
  readonly #handler: TarHandler;
  #state: State = { at: 'header' };
  #extension: Extension | undefined;
  #global: Extension | undefined;
  #rest: Buffer = Buffer.alloc(0);
  /** Tar bytes taken so far, for messages. */
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
    // The chunk is only lent.
    this.#rest = Buffer.from(input);
  }

  /** Whether the reader stands between two entries, with nothing held back. */
  get atBoundary(): boolean {
    return this.#state.at === 'header' && this.#extension === undefined && this.#rest.length === 0;
  }

  get ended(): boolean {
    return this.#state.at === 'end' && this.#state.zeroBlocks >= 2;
  }

  /** Refuses a tar that stops before its two zero blocks: cut where a gzip member ends, it would look whole. */
  end(): void {
    if (!this.ended || this.#rest.length > 0) {
      throw corrupt(this.#position, 'it ends before its end-of-archive mark, so it was cut short');
    }
  }

  /** Bytes used; 0 asks for more. */
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

  #takeBlock(state: State, block: Buffer): void {
    switch (state.at) {
      case 'header':
        if (isZero(block)) {
          if (this.#extension) throw corrupt(this.#position, 'an extended header is followed by no entry');
          this.#state = { at: 'end', zeroBlocks: 1 };
        } else this.#takeHeader(block);
        return;
      case 'end':
        if (!isZero(block)) {
          throw corrupt(
            this.#position,
            state.zeroBlocks === 1 ? 'a lone zero block' : 'data follow the end-of-archive mark',
          );
        }
        state.zeroBlocks++;
        return;
      case 'sparse-blocks': {
        readOldExtents(block, 0, 21, state.extents, this.#position);
        if (state.extents.length > MAX_EXTENTS) throw corrupt(this.#position, 'a sparse map without end');
        if (block[504] === 0) this.#beginSparse(state.header, state.extents);
        return;
      }
      case 'sparse-map':
        this.#takeMapBlock(state, block);
        return;
      default:
        throw new Error(`no block is due in state ${state.at}`);
    }
  }

  #takeMapBlock(state: Extract<State, { at: 'sparse-map' }>, block: Buffer): void {
    const at = this.#position;
    state.chunks.push(Buffer.from(block));
    state.packed -= BLOCK;
    if (state.packed < 0 || state.chunks.length * BLOCK > MAX_EXTENSION)
      throw corrupt(at, 'a sparse map without end');
    for (const byte of block) if (byte === 0x0a) state.lines++;
    // The first line counts the extents, each of which takes two lines.
    state.lastLine ??= lastMapLine(state.chunks[0]!, at);
    if (state.lines < state.lastLine) return;
    const extents = parseMap10(Buffer.concat(state.chunks), at);
    this.#beginSparse({ ...state.header, packed: state.packed }, extents);
  }

  #takeHeader(block: Buffer): void {
    const at = this.#position;
    checkSum(block, at);
    const type = block[156] === 0 ? '0' : String.fromCharCode(block[156]!);
    const posix = block.toString('latin1', 257, 263) === 'ustar\0';
    const size = readNumber(block, 124, 12, 'size', at);
    if (size < 0) throw corrupt(at, 'a negative size');
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      if (size > MAX_EXTENSION) throw corrupt(at, `an extended header of ${size} bytes`);
      if (size === 0) this.#applyExtension(type, Buffer.alloc(0));
      else this.#state = { at: 'extension', type, size, chunks: [], left: roundUp(size) };
      return;
    }
    if (type === 'V') {
      this.#skip(roundUp(size));
      return;
    }

    const extension = this.#extension;
    const global = this.#global;
    this.#extension = undefined;
    const stored = extension?.size ?? global?.size ?? size;
    const sparse = extension?.sparse ?? new Map<string, string>();
    const rawName =
      (sparse.get('name') as ByteString | undefined) ?? extension?.path ?? readName(block, posix);
    const entryType = typeOf(type, rawName, display(rawName));
    const verdict = normalizeName(rawName);
    if (verdict.refused !== undefined) {
      throw new ArchiveError(
        'RestoreRefused',
        `refused: the archive's entry '${display(rawName)}' has ${verdict.refused}. Nothing was changed.`,
      );
    }
    const path = verdict.path;
    const content = entryType === 'file' ? stored : 0;
    // A hard link's size tells of the file it links to; content after one is a rarity that readers take differently.
    if (entryType !== 'file' && entryType !== 'hardlink' && stored !== 0) {
      throw corrupt(at, `'${display(path)}' is a ${entryType} with content`);
    }
    const link =
      entryType === 'symlink' || entryType === 'hardlink'
        ? (extension?.linkpath ?? readString(block, 157, 100))
        : undefined;
    const device = entryType === 'character' || entryType === 'block';
    const entry: Entry = {
      path,
      type: entryType,
      mode: readNumber(block, 100, 8, 'mode', at) & 0o7777,
      uid: extension?.uid ?? global?.uid ?? readNumber(block, 108, 8, 'uid', at),
      gid: extension?.gid ?? global?.gid ?? readNumber(block, 116, 8, 'gid', at),
      size: content,
      mtime: extension?.mtime ?? global?.mtime ?? seconds(readNumber(block, 136, 12, 'mtime', at)),
      ctime: '0',
      ino: '0',
      ...(link === undefined ? {} : { link: entryType === 'hardlink' ? plainLink(link, path) : link }),
      ...(extension?.xattrs ? { xattrs: extension.xattrs } : {}),
      ...(device
        ? { device: [readNumber(block, 329, 8, 'device', at), readNumber(block, 337, 8, 'device', at)] }
        : {}),
    };
    if (type === 'S') {
      const extents: Extent[] = [];
      readOldExtents(block, 386, 4, extents, at);
      const realSize = readNumber(block, 483, 12, 'real size', at);
      const header = { entry, packed: stored, realSize };
      if (block[482] === 0) this.#beginSparse(header, extents);
      else this.#state = { at: 'sparse-blocks', header, extents };
      return;
    }
    if (entryType === 'file' && extension && (sparse.size > 0 || extension.sparsePairs.length > 0)) {
      this.#beginPaxSparse(entry, stored, extension);
      return;
    }
    this.#begin(entry, content === 0 ? [] : [[0, content]], content);
  }

  #beginPaxSparse(entry: Entry, packed: number, { sparse, sparsePairs }: Extension): void {
    const at = this.#position;
    const major = sparse.get('major');
    const realSize = decimal(sparse.get('realsize') ?? sparse.get('size'), 'real size', at);
    const header = { entry, packed, realSize };
    if (major === '1') {
      this.#state = { at: 'sparse-map', header, chunks: [], packed, lines: 0, lastLine: undefined };
      return;
    }
    if (major !== undefined && major !== '0')
      throw corrupt(at, `a sparse format ${display(major as ByteString)}`);
    const map = sparse.get('map');
    const numbers =
      map === undefined
        ? sparsePairs
        : map === ''
          ? []
          : map.split(',').map((text) => decimal(text, 'sparse map', at));
    if (numbers.length % 2 !== 0) throw corrupt(at, 'an odd sparse map');
    const extents: Extent[] = [];
    for (let i = 0; i < numbers.length; i += 2) extents.push([numbers[i]!, numbers[i + 1]!]);
    this.#beginSparse(header, extents);
  }

  #beginSparse({ entry, packed, realSize }: Header, all: readonly Extent[]): void {
    const at = this.#position;
    const size = realSize ?? 0;
    let end = 0;
    let data = 0;
    for (const [offset, length] of all) {
      if (offset < end || offset + length > size)
        throw corrupt(at, `'${display(entry.path)}' has a sparse map that overlaps`);
      end = offset + length;
      data += length;
    }
    if (data !== packed)
      throw corrupt(at, `'${display(entry.path)}' has a sparse map of ${data} bytes for ${packed}`);
    const extents = all.filter(([, length]) => length > 0);
    this.#begin({ ...entry, size, extents }, extents, packed);
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

  #applyExtension(type: string, body: Buffer): void {
    const at = this.#position;
    if (type === 'g') {
      this.#global = parsePax(body, at, this.#global);
      return;
    }
    const extension = this.#extension ?? emptyExtension();
    if (type === 'x') this.#extension = parsePax(body, at, extension);
    else {
      const end = body.indexOf(0);
      const name = fromBuffer(end === -1 ? body : body.subarray(0, end));
      this.#extension =
        type === 'L'
          ? { ...extension, path: extension.path ?? name }
          : { ...extension, linkpath: extension.linkpath ?? name };
    }
  }
}

function emptyExtension(): Extension {
  return { sparse: new Map(), sparsePairs: [] };
}

/** `LENGTH KEY=VALUE\n`, the length counting the whole record; values are bytes. */
function parsePax(body: Buffer, at: number, base: Extension | undefined): Extension {
  const extension: Extension = base
    ? { ...base, sparse: new Map(base.sparse), sparsePairs: [...base.sparsePairs] }
    : emptyExtension();
  for (let start = 0; start < body.length; ) {
    const space = body.indexOf(0x20, start);
    const digits = space === -1 ? '' : body.toString('latin1', start, space);
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = start + length;
    const equals = body.indexOf(0x3d, space);
    if (length === 0 || end > body.length || body[end - 1] !== 0x0a || equals === -1 || equals >= end) {
      throw corrupt(at, 'a malformed extended header');
    }
    const key = body.toString('latin1', space + 1, equals);
    applyRecord(extension, key, body.subarray(equals + 1, end - 1), at);
    start = end;
  }
  return extension;
}

function applyRecord(extension: Extension, key: string, value: Buffer, at: number): void {
  const text = fromBuffer(value);
  switch (key) {
    case 'path':
      if (text !== '') extension.path = text;
      return;
    case 'linkpath':
      extension.linkpath = text;
      return;
    case 'size':
    case 'uid':
    case 'gid':
      extension[key] = decimal(text, key, at);
      return;
    case 'mtime':
      extension.mtime = nanoseconds(text, at);
      return;
    case 'GNU.sparse.offset':
    case 'GNU.sparse.numbytes':
      extension.sparsePairs.push(decimal(text, key, at));
      if (extension.sparsePairs.length > 2 * MAX_EXTENTS) throw corrupt(at, 'a sparse map without end');
      return;
    default:
      if (key.startsWith('GNU.sparse.')) extension.sparse.set(key.slice('GNU.sparse.'.length), text);
      else if (key.startsWith('SCHILY.xattr.')) {
        extension.xattrs = { ...extension.xattrs, [xattrName(key)]: value.toString('base64') };
      }
  }
}

/** One character a byte, with what GNU tar escapes brought back. */
function xattrName(key: string): string {
  return key.slice('SCHILY.xattr.'.length).replaceAll('%3D', '=').replaceAll('%25', '%');
}

function lastMapLine(first: Buffer, at: number): number {
  const count = decimal(first.toString('latin1', 0, first.indexOf(0x0a)), 'sparse map', at);
  if (count > MAX_EXTENTS) throw corrupt(at, `a sparse map of ${count} extents`);
  return 1 + 2 * count;
}

function parseMap10(map: Buffer, at: number): Extent[] {
  const [count, ...numbers] = map.toString('latin1').split('\n');
  const extents: Extent[] = [];
  for (let i = 0; i < Number(count); i++) {
    extents.push([decimal(numbers[2 * i], 'sparse map', at), decimal(numbers[2 * i + 1], 'sparse map', at)]);
  }
  return extents;
}

function readOldExtents(block: Buffer, start: number, count: number, extents: Extent[], at: number): void {
  for (let i = 0; i < count; i++) {
    const position = start + 24 * i;
    if (block[position] === 0) return;
    extents.push([
      readNumber(block, position, 12, 'sparse offset', at),
      readNumber(block, position + 12, 12, 'sparse length', at),
    ]);
  }
}

function typeOf(flag: string, name: ByteString, shown: string): EntryType {
  switch (flag) {
    case '0':
    case '7':
      return name.endsWith('/') ? 'directory' : 'file';
    case 'S':
      return 'file';
    case '1':
      return 'hardlink';
    case '2':
      return 'symlink';
    case '3':
      return 'character';
    case '4':
      return 'block';
    case '5':
      return 'directory';
    case '6':
      return 'fifo';
    default:
      throw new ArchiveError(
        'RestoreRefused',
        `refused: the archive's entry '${shown}' is of the unknown type '${display(flag as ByteString)}'. Nothing was changed.`,
      );
  }
}

function plainLink(link: ByteString, path: ByteString): ByteString {
  const verdict = normalizeName(link);
  if (verdict.refused === undefined) return verdict.path;
  throw new ArchiveError(
    'RestoreRefused',
    `refused: the archive's entry '${display(path)}' is a hard link to a name with ${verdict.refused}. Nothing was changed.`,
  );
}

function readName(block: Buffer, posix: boolean): ByteString {
  const name = readString(block, 0, 100);
  const prefix = posix ? readString(block, 345, 155) : '';
  return (prefix === '' ? name : `${prefix}/${name}`) as ByteString;
}

function readString(block: Buffer, start: number, length: number): ByteString {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return fromBuffer(end === -1 ? field : field.subarray(0, end));
}

/** Octal text, or base 256 where the first bit is set (two's complement). */
function readNumber(block: Buffer, start: number, length: number, what: string, at: number): number {
  const first = block[start]!;
  if (first & 0x80) {
    let value = BigInt(first & 0x40 ? first - 0x100 : first & 0x7f);
    for (let i = start + 1; i < start + length; i++) value = (value << 8n) | BigInt(block[i]!);
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw corrupt(at, `a ${what} out of range`);
    return number;
  }
  const text = block.toString('latin1', start, start + length);
  const match = /^ *([0-7]*)[ \0]*$/.exec(text);
  if (!match) throw corrupt(at, `a malformed ${what}`);
  return match[1] === '' ? 0 : Number.parseInt(match[1]!, 8);
}

function decimal(text: string | undefined, what: string, at: number): number {
  const value = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw corrupt(at, `a malformed ${what}`);
  return value;
}

function seconds(value: number): string {
  return (BigInt(value) * 1_000_000_000n).toString();
}

/** pax time to whole nanoseconds; finer digits are cut towards the past, as GNU tar does. */
function nanoseconds(text: string, at: number): string {
  const match = /^(-?)(\d{1,14})(?:\.(\d*))?$/.exec(text);
  if (!match) throw corrupt(at, 'a malformed mtime');
  const fraction = match[3] ?? '';
  const value = BigInt(match[2]!) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return value.toString();
  return (-value - (/[1-9]/.test(fraction.slice(9)) ? 1n : 0n)).toString();
}

function checkSum(block: Buffer, at: number): void {
  const stated = readNumber(block, 148, 8, 'checksum', at);
  let unsigned = 8 * 0x20;
  let signed = unsigned;
  for (let i = 0; i < BLOCK; i++) {
    if (i >= 148 && i < 156) continue;
    const byte = block[i]!;
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  if (stated !== unsigned && stated !== signed) throw corrupt(at, 'a header does not match its checksum');
}

function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

function roundUp(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function corrupt(at: number, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `the tar is damaged near byte ${at}: ${what}`);
}
