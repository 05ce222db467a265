import type { ByteString } from './byte-string.ts';
import { toText } from './byte-string.ts';
import type { Entry, EntryType, Extent } from './entry.ts';

/*
 * Writes POSIX.1-2001 (pax) headers. node-tar cannot: it takes names as text, which loses names that are not UTF-8,
 * and times as Date, which loses nanoseconds.
 */

export const BLOCK = 512;

const typeFlag: Record<EntryType, string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;

/** An entry's name inside the tar: `./a/b`, directories with a trailing slash. */
export function tarName(entry: Pick<Entry, 'path' | 'type'>): ByteString {
  if (entry.path === '') return './' as ByteString;
  return `./${entry.path}${entry.type === 'directory' ? '/' : ''}` as ByteString;
}

export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/**
 * GNU's sparse map, format 1.0, which precedes a sparse file's data. If the file ends in a hole, an empty extent at
 * the end states its size.
 */
export function encodeSparseMap(extents: readonly Extent[], size: number): Buffer {
  const last = extents.at(-1);
  const all = last && last[0] + last[1] === size ? extents : [...extents, [size, 0] as const];
  const text = `${all.length}\n${all.map(([offset, length]) => `${offset}\n${length}\n`).join('')}`;
  const map = Buffer.alloc(padded(text.length));
  map.write(text, 'latin1');
  return map;
}

/** Bytes after an entry's header in the tar, without padding: the content, or a sparse map and the extents. */
export function packedSize(entry: Entry): number {
  if (entry.type !== 'file') return 0;
  if (!entry.extents) return entry.size;
  const data = entry.extents.reduce((sum, [, length]) => sum + length, 0);
  return encodeSparseMap(entry.extents, entry.size).length + data;
}

/** The header blocks of one entry: an extended header if plain fields cannot hold everything, then the plain one. */
export function encodeHeader(entry: Entry): Buffer {
  const size = packedSize(entry);
  const realName = tarName(entry);
  const name = entry.extents ? sparseName(realName) : realName;
  const link = entry.link === undefined ? undefined : linkName(entry.type, entry.link);
  const { seconds, fraction } = splitTime(entry.mtime);

  let records = '';
  if (entry.extents) {
    records += record('GNU.sparse.major', '1') + record('GNU.sparse.minor', '0');
    records += record('GNU.sparse.name', realName) + record('GNU.sparse.realsize', String(entry.size));
  } else if (needsRecord(realName)) {
    records += record('path', realName);
  }
  if (link !== undefined && needsRecord(link)) records += record('linkpath', link);
  if (fraction !== '' || seconds < 0 || seconds > MAX_OCTAL_11) {
    records += record('mtime', decimalTime(entry.mtime));
  }
  if (entry.uid > MAX_OCTAL_7) records += record('uid', String(entry.uid));
  if (entry.gid > MAX_OCTAL_7) records += record('gid', String(entry.gid));
  if (size > MAX_OCTAL_11) records += record('size', String(size));
  for (const [key, value] of Object.entries(entry.xattrs ?? {})) {
    records += record(xattrKey(key), Buffer.from(value, 'base64').toString('latin1'));
  }

  const paxLength = records === '' ? 0 : BLOCK + padded(records.length);
  // From Node.js' buffer pool: a separate allocation for each entry costs more than the rest of this function.
  const blocks = Buffer.allocUnsafe(paxLength + BLOCK).fill(0);
  if (records !== '') {
    blocks.set(paxHeader(records.length));
    blocks.write(records, BLOCK, 'latin1');
  }
  blocks.write(name.slice(0, 100), paxLength, 'latin1');
  if (link !== undefined) blocks.write(link.slice(0, 100), paxLength + 157, 'latin1');
  if (entry.device) {
    writeNumber(blocks, paxLength + 329, 8, entry.device[0]);
    writeNumber(blocks, paxLength + 337, 8, entry.device[1]);
  }
  const inRange = seconds >= 0 && seconds <= MAX_OCTAL_11 ? seconds : 0;
  writeFields(blocks, paxLength, {
    mode: entry.mode,
    uid: entry.uid,
    gid: entry.gid,
    size,
    seconds: inRange,
    type: typeFlag[entry.type],
  });
  return blocks;
}

let lastPaxHeader = { length: -1, block: Buffer.alloc(0) };

/** The header before records of this length. Cached, because most entries of a tree have the same length. */
function paxHeader(length: number): Buffer {
  if (lastPaxHeader.length !== length) {
    const block = Buffer.alloc(BLOCK);
    block.write('././@PaxHeader', 0, 'latin1');
    writeFields(block, 0, { mode: 0o644, uid: 0, gid: 0, size: length, seconds: 0, type: 'x' });
    lastPaxHeader = { length, block };
  }
  return lastPaxHeader.block;
}

function linkName(type: EntryType, link: ByteString): ByteString {
  return type === 'hardlink' ? (`./${link}` as ByteString) : link;
}

function sparseName(name: ByteString): ByteString {
  const cut = name.lastIndexOf('/');
  return `${name.slice(0, cut)}/GNUSparseFile.0/${name.slice(cut + 1)}` as ByteString;
}

/** Whether a name is too long for a plain field, or is UTF-8 text beyond ASCII: readers decode plain fields differently. */
function needsRecord(name: ByteString): boolean {
  if (name.length > 100) return true;
  for (let i = 0; i < name.length; i++) {
    if (name.charCodeAt(i) >= 0x80) return toText(name) !== undefined;
  }
  return false;
}

/** Escaped as GNU tar does, because an `=` would end the key. */
function xattrKey(name: string): string {
  return `SCHILY.xattr.${name.replaceAll('%', '%25').replaceAll('=', '%3D')}`;
}

function record(key: string, value: string): string {
  const body = ` ${key}=${value}\n`;
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return length + body;
}

function splitTime(nanoseconds: string): { seconds: number; fraction: string } {
  if (nanoseconds.startsWith('-')) return { seconds: -1, fraction: '' };
  const seconds = Number(nanoseconds.slice(0, -9) || '0');
  const fraction = nanoseconds.slice(-9).padStart(9, '0').replace(/0+$/, '');
  return { seconds, fraction };
}

/** Seconds with a fraction, as pax writes times: `1700000000.5`; `-0.5` is half a second before the epoch. */
function decimalTime(nanoseconds: string): string {
  const negative = nanoseconds.startsWith('-');
  const digits = (negative ? nanoseconds.slice(1) : nanoseconds).padStart(10, '0');
  const fraction = digits.slice(-9).replace(/0+$/, '');
  return `${negative ? '-' : ''}${digits.slice(0, -9)}${fraction === '' ? '' : `.${fraction}`}`;
}

interface Fields {
  mode: number;
  uid: number;
  gid: number;
  size: number;
  seconds: number;
  type: string;
}

/** Writes everything except the names. The names must be there already: the checksum covers them. */
function writeFields(block: Buffer, at: number, fields: Fields): void {
  writeNumber(block, at + 100, 8, fields.mode);
  writeNumber(block, at + 108, 8, fields.uid > MAX_OCTAL_7 ? 0 : fields.uid);
  writeNumber(block, at + 116, 8, fields.gid > MAX_OCTAL_7 ? 0 : fields.gid);
  writeNumber(block, at + 124, 12, fields.size);
  writeNumber(block, at + 136, 12, fields.seconds);
  block.write('        ', at + 148, 'latin1');
  block.write(fields.type, at + 156, 'latin1');
  block.write('ustar\x0000', at + 257, 'latin1');
  let sum = 0;
  for (let i = at; i < at + BLOCK; i++) sum += block[i]!;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
}

/** Octal with a NUL, or base 256 (a GNU extension that later readers share) if the number is too large for that. */
function writeNumber(block: Buffer, at: number, width: number, value: number): void {
  const octal = value.toString(8);
  if (octal.length < width) {
    block.write(`${octal.padStart(width - 1, '0')}\0`, at, 'latin1');
    return;
  }
  let rest = value;
  for (let i = at + width - 1; i > at; i--) {
    block[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  block[at] = 0x80;
}
