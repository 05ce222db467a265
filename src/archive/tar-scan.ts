import type { ByteString } from './byte-string.ts';
import { ArchiveError } from './errors.ts';
import type { EntryType } from './manifest.ts';
import { BLOCK, padded } from './tar-header.ts';

/** What a tar header tells, extended headers applied. Nothing here is checked for safety. */
export interface TarEntry {
  readonly name: ByteString;
  /** Undefined: a kind of entry that is neither restored nor listed by its content. */
  readonly type: EntryType | undefined;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Content as a reader sees it: of a sparse file the real size. */
  readonly size: number;
  /** Bytes that follow the header in the tar, before padding. */
  readonly storedSize: number;
  readonly mtimeSeconds: number;
  readonly link: ByteString | undefined;
}

const typeOfFlag: Readonly<Record<string, EntryType>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
  S: 'file',
};

/** Extended headers larger than this are no honest ones. */
const MAX_EXTENSION = 16 * 1024 * 1024;

/**
 * Reads the structure of a tar of any origin as its bytes arrive, skipping contents. Throws
 * `ArchiveCorrupt` on a damaged header, or where the tar ends without its end marker.
 */
export async function* scanTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const input = new BlockReader(source);
  let global: Records = new Map();
  let local: Records = new Map();
  let longName: ByteString | undefined;
  let longLink: ByteString | undefined;
  for (;;) {
    const block = await input.take(BLOCK);
    if (!block) throw corrupt(input.position, 'it ends without the end marker, so it was cut short');
    if (isZero(block)) return;
    if (!hasValidChecksum(block)) throw corrupt(input.position - BLOCK, 'a header has a wrong checksum');
    const flag = String.fromCharCode(block[156]!);
    const size = numberField(block, 124, 12);
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
      if (size > MAX_EXTENSION) throw corrupt(input.position, 'an extended header is too large');
      const body = await input.take(padded(size));
      if (!body) throw corrupt(input.position, 'it ends inside an extended header');
      const text = latin1(body, 0, size);
      if (flag === 'x') local = parseRecords(text);
      else if (flag === 'g') global = new Map([...global, ...parseRecords(text)]);
      else if (flag === 'L') longName = cut(text);
      else longLink = cut(text);
      continue;
    }
    const records: Records = new Map([...global, ...local]);
    const storedSize = Number(records.get('size') ?? size);
    if (!Number.isSafeInteger(storedSize) || storedSize < 0)
      throw corrupt(input.position, 'a size is no number');
    const type = typeOfFlag[flag];
    const entry: TarEntry = {
      name: (records.get('GNU.sparse.name') ??
        records.get('path') ??
        longName ??
        plainName(block)) as ByteString,
      type,
      mode: numberField(block, 100, 8) & 0o7777,
      uid: Number(records.get('uid') ?? numberField(block, 108, 8)),
      gid: Number(records.get('gid') ?? numberField(block, 116, 8)),
      size: Number(records.get('GNU.sparse.realsize') ?? storedSize),
      storedSize,
      mtimeSeconds: Number(records.get('mtime') ?? numberField(block, 136, 12)),
      link:
        type === 'symlink' || type === 'hardlink'
          ? ((records.get('linkpath') ?? longLink ?? cut(latin1(block, 157, 100))) as ByteString)
          : undefined,
    };
    local = new Map();
    longName = undefined;
    longLink = undefined;
    yield entry;
    const hasContent = type === 'file' || type === undefined;
    if (hasContent && !(await input.skip(padded(storedSize)))) {
      throw corrupt(input.position, 'it ends inside a file');
    }
  }
}

type Records = ReadonlyMap<string, string>;

/** `length key=value\n`, the length counting itself; values may hold any byte. */
export function parseRecords(text: string): Records {
  const records = new Map<string, string>();
  for (let at = 0; at < text.length; ) {
    const space = text.indexOf(' ', at);
    const length = Number(text.slice(at, space));
    const equals = text.indexOf('=', space);
    const sound = space > at && Number.isInteger(length) && length > 0 && at + length <= text.length;
    if (!sound || equals === -1 || equals >= at + length)
      throw corrupt(at, 'an extended header is malformed');
    records.set(text.slice(space + 1, equals), text.slice(equals + 1, at + length - 1));
    at += length;
  }
  return records;
}

class BlockReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();
  position = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `count` bytes, or undefined where the source ends before. */
  async take(count: number): Promise<Uint8Array | undefined> {
    if (this.#chunk.length >= count) return this.#cut(count);
    const result = new Uint8Array(count);
    for (let done = 0; done < count; ) {
      if (this.#chunk.length === 0 && !(await this.#fill())) return undefined;
      const piece = this.#cut(Math.min(count - done, this.#chunk.length));
      result.set(piece, done);
      done += piece.length;
    }
    return result;
  }

  async skip(count: number): Promise<boolean> {
    for (let left = count; left > 0; ) {
      if (this.#chunk.length === 0 && !(await this.#fill())) return false;
      left -= this.#cut(Math.min(left, this.#chunk.length)).length;
    }
    return true;
  }

  async #fill(): Promise<boolean> {
    const next = await this.#source.next();
    if (next.done) return false;
    this.#chunk = next.value;
    return true;
  }

  #cut(count: number): Uint8Array {
    const piece = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    this.position += count;
    return piece;
  }
}

function latin1(bytes: Uint8Array, at: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString('latin1');
}

function cut(text: string): ByteString {
  const end = text.indexOf('\0');
  return (end === -1 ? text : text.slice(0, end)) as ByteString;
}

function plainName(block: Uint8Array): ByteString {
  const name = cut(latin1(block, 0, 100));
  // GNU's own format keeps times where POSIX has the prefix.
  const prefix = latin1(block, 257, 6) === 'ustar\0' ? cut(latin1(block, 345, 155)) : '';
  return (prefix === '' ? name : `${prefix}/${name}`) as ByteString;
}

/** Octal, or base 256 where the first bit is set. NaN where it is neither. */
function numberField(block: Uint8Array, at: number, width: number): number {
  if (block[at]! & 0x80) {
    let value = block[at]! & 0x7f;
    for (let i = at + 1; i < at + width; i++) value = value * 256 + block[i]!;
    return value;
  }
  const text = cut(latin1(block, at, width)).trim();
  return text === '' ? 0 : /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

export function hasValidChecksum(block: Uint8Array): boolean {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i]!;
  return numberField(block, 148, 8) === sum;
}

function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

function corrupt(position: number, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `tar offset ${position}: ${what}`);
}
