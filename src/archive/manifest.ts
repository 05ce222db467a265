import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { createZstdDecompress, constants as zlib, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { codeOf } from '../posix/system-error.ts';
import { type ByteString, fromText, toText } from './byte-string.ts';
import { ArchiveError } from './errors.ts';
import type { Compression } from './managed-name.ts';

/*
 * A manifest is a row of zstd frames holding lines of JSON: for each member of the archive a member line,
 * then one line for each entry whose header lies in that member, and at the end the summary in a frame of
 * its own. A skippable frame at the very end tells where the summary's frame starts, so that a listing
 * reads two blocks whatever the number of entries. `zstd -dc` prints it all.
 */

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'fifo' | 'character' | 'block';

/** A run of bytes of a sparse file that is data: [offset, length]. */
export type Extent = readonly [offset: number, length: number];

export interface Entry {
  /** Relative to the archive's root, without `./` or a trailing slash; '' is the root itself. */
  readonly path: ByteString;
  readonly type: EntryType;
  /** Permission bits, at most 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a regular file's content (holes included); 0 for everything else. */
  readonly size: number;
  /** Nanoseconds since the epoch, decimal (may be negative). */
  readonly mtime: string;
  readonly ctime: string;
  /** Inode number, decimal. */
  readonly ino: string;
  /** A symlink's text; a hardlink's earlier path within the archive. */
  readonly link?: ByteString;
  /** Hex digest of a file's content. A file split over `part` members has none: its parts have theirs. */
  readonly sha256?: string;
  /** Number of `part` members that follow the member holding this entry's header. */
  readonly parts?: number;
  /** Where a sparse file's data lies; the rest are holes. */
  readonly extents?: readonly Extent[];
  /** Extended attributes (ACLs among them): name to base64 of the value. */
  readonly xattrs?: Readonly<Record<string, string>>;
  /** Major and minor number of a device. */
  readonly device?: readonly [major: number, minor: number];
  /** The content changed under every read: what is stored may mix states, and is padded or cut to `size`. */
  readonly torn?: true;
}

/**
 * What a member's tar bytes are:
 * - `group`: whole entries, one after the other;
 * - `header`: the header of one large file, whose data follow in `part` members;
 * - `part`: a slice of that file's data, the last one padded to 512 bytes;
 * - `end`: the two zero blocks that end a tar.
 */
export type MemberKind = 'group' | 'header' | 'part' | 'end';

/** One independently compressed piece of the archive: a gzip member or a zstd frame. */
export interface Member {
  readonly kind: MemberKind;
  /** Place of the compressed bytes in the archive file. */
  readonly offset: number;
  readonly size: number;
  /** Length of the tar bytes inside. */
  readonly rawSize: number;
  /** Hex digest of the compressed bytes. */
  readonly sha256: string;
  /** Hex digest of the tar bytes; `part` members only. */
  readonly rawSha256?: string;
}

/** A member and its entries' lines as they stand in the manifest, without newlines. */
export interface MemberLines {
  readonly member: Member;
  readonly lines: readonly string[];
}

export interface MemberEntries {
  readonly member: Member;
  readonly entries: readonly Entry[];
  /** The entries' lines as they stand in the manifest, each with its newline. */
  readonly lines: string;
}

export interface Summary {
  readonly format: 1;
  /** File name of the archive. */
  readonly archive: string;
  readonly series: string | null;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly compression: Compression;
  readonly level: number;
  /** Rules by which entries become bytes; members are reused only under the same rules. */
  readonly packing: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly members: number;
  readonly entries: number;
  readonly files: number;
  readonly sourceBytes: number;
  readonly reusedBytes: number;
  readonly socketsSkipped: number;
  readonly excluded: number;
  readonly warnings: { readonly count: number; readonly samples: readonly string[] };
}

/** No member holds more tar bytes than this, nor has a file of more than this a digest of its own. */
export const MAX_MEMBER_BYTES = 64 * 1024 * 1024;

const FRAME_BYTES = 512 * 1024;
const FOOTER_BYTES = 16;
const FOOTER_MAGIC = 0x184d2a5b;
/** A line longer than this is no line of ours (a sparse file's extents are the longest). */
const MAX_LINE = 256 * 1024 * 1024;

/** What JSON writes as it stands. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function encodeBytes(key: string, bytes: ByteString): string {
  if (plain.test(bytes)) return `"${key}":"${bytes}"`;
  const text = toText(bytes);
  return text === undefined ? `"${key}Bytes":${JSON.stringify(bytes)}` : `"${key}":${JSON.stringify(text)}`;
}

/**
 * What a walk sees of an entry, as the beginning of its line: the path first, for readers tell entry lines by
 * it. Two entries are the same to a repeat run when these texts are.
 */
export function encodeIdentity(entry: Entry): string {
  const { type, mode, uid, gid, size, mtime, ctime, ino, device } = entry;
  const link = entry.link === undefined ? '' : `,${encodeBytes('link', entry.link)}`;
  const node = device ? `,"device":[${device[0]},${device[1]}]` : '';
  return `{${encodeBytes('path', entry.path)}${link},"type":"${type}","mode":${mode},"uid":${uid},"gid":${gid},"size":${size},"mtime":"${mtime}","ctime":"${ctime}","ino":"${ino}"${node}`;
}

/** One line, its newline included. */
export function encodeEntry(entry: Entry): string {
  const { sha256, parts, extents, xattrs, torn } = entry;
  const digest = sha256 === undefined ? '' : `,"sha256":"${sha256}"`;
  const rest = parts || extents || xattrs || torn ? JSON.stringify({ parts, extents, xattrs, torn }) : '{}';
  return `${encodeIdentity(entry)}${digest}${rest === '{}' ? '' : `,${rest.slice(1, -1)}`}}\n`;
}

function encodeMember(member: Member): string {
  return `${JSON.stringify({ member })}\n`;
}

function frame(text: string): Buffer {
  return zstdCompressSync(text, {
    params: { [zlib.ZSTD_c_compressionLevel]: 3, [zlib.ZSTD_c_checksumFlag]: 1 },
  });
}

/** Where a manifest goes: a file that grows at its end. */
export interface Sink {
  readonly position: number;
  append(bytes: Uint8Array): void;
}

/** Writes a manifest in order, with bounded memory. */
export class ManifestWriter {
  readonly #sink: Sink;
  #pending: string[] = [];
  #pendingLength = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** `lines`: the entries' lines, made by `encodeEntry`. */
  add(member: Member, lines: string): void {
    this.#push(encodeMember(member));
    this.#push(lines);
    if (this.#pendingLength >= FRAME_BYTES) this.#flush();
  }

  finish(summary: Summary): void {
    this.#flush();
    const footer = Buffer.alloc(FOOTER_BYTES);
    footer.writeUInt32LE(FOOTER_MAGIC, 0);
    footer.writeUInt32LE(8, 4);
    footer.writeBigUInt64LE(BigInt(this.#sink.position), 8);
    this.#sink.append(frame(`${JSON.stringify({ summary })}\n`));
    this.#sink.append(footer);
  }

  #push(text: string): void {
    this.#pending.push(text);
    this.#pendingLength += text.length;
  }

  #flush(): void {
    if (this.#pendingLength > 0) this.#sink.append(frame(this.#pending.join('')));
    this.#pending = [];
    this.#pendingLength = 0;
  }
}

/** The summary at the end of a manifest. Throws `ManifestInvalid`; a missing file gives undefined. */
export function readSummary(path: string): Summary | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const size = fstatSync(fd).size;
    const footer = Buffer.alloc(FOOTER_BYTES);
    if (size < FOOTER_BYTES || readSync(fd, footer, 0, FOOTER_BYTES, size - FOOTER_BYTES) < FOOTER_BYTES) {
      throw invalid(path, 'it is cut short');
    }
    if (footer.readUInt32LE(0) !== FOOTER_MAGIC || footer.readUInt32LE(4) !== 8) {
      throw invalid(path, 'its last bytes are not those of a manifest');
    }
    const start = Number(footer.readBigUInt64LE(8));
    const length = size - FOOTER_BYTES - start;
    if (!Number.isSafeInteger(start) || length <= 0 || length > FRAME_BYTES)
      throw invalid(path, 'its summary is out of place');
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, start);
    const record: unknown = JSON.parse(
      zstdDecompressSync(bytes, { maxOutputLength: 64 * FRAME_BYTES }).toString('utf8'),
    );
    return parseSummary(isRecord(record) ? record['summary'] : undefined, path);
  } catch (error) {
    if (error instanceof ArchiveError) throw error;
    throw invalid(path, error instanceof Error ? error.message : String(error), error);
  } finally {
    closeSync(fd);
  }
}

/**
 * Every member with its entries, in the archive's order. Throws `ManifestInvalid` where the manifest is
 * damaged, is cut, has a gap between members, or disagrees with its own summary.
 */
export async function* readManifest(path: string): AsyncGenerator<MemberEntries, Summary> {
  const members = readMemberLines(path);
  for (;;) {
    const next = await members.next();
    if (next.done) return next.value;
    const { member, lines } = next.value;
    yield { member, lines: joinLines(lines), entries: lines.map((line) => parseEntryLine(line, path)) };
  }
}

export function joinLines(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** The entries of lines that `joinLines` joined. Throws `ManifestInvalid`. */
export function parseLines(lines: string, where: string): Entry[] {
  if (lines === '') return [];
  return lines
    .slice(0, -1)
    .split('\n')
    .map((line) => parseEntryLine(line, where));
}

/** As readManifest, with the entries' lines unparsed. */
export async function* readMemberLines(path: string): AsyncGenerator<MemberLines, Summary> {
  const totals = { members: 0, entries: 0, offset: 0 };
  let member: Member | undefined;
  let lines: string[] = [];
  let summary: Summary | undefined;
  try {
    for await (const block of lineBlocks(path)) {
      for (const line of block) {
        if (summary) throw invalid(path, 'lines follow its summary');
        if (line.startsWith('{"path')) {
          if (!member) throw invalid(path, 'an entry stands outside a member');
          lines.push(line);
          totals.entries++;
          continue;
        }
        if (member) {
          yield { member, lines };
          lines = [];
          member = undefined;
        }
        const record: unknown = JSON.parse(line);
        if (!isRecord(record)) throw invalid(path, 'a line is no object');
        if ('member' in record) {
          member = parseMember(record['member'], path);
          if (member.offset !== totals.offset) throw invalid(path, `a gap before offset ${member.offset}`);
          totals.members++;
          totals.offset += member.size;
        } else {
          summary = parseSummary(record['summary'], path);
        }
      }
    }
  } catch (error) {
    if (error instanceof ArchiveError) throw error;
    throw invalid(path, error instanceof Error ? error.message : String(error), error);
  }
  if (!summary) throw invalid(path, 'it has no summary, so it was cut short');
  if (
    summary.members !== totals.members ||
    summary.entries !== totals.entries ||
    summary.sizeBytes !== totals.offset
  ) {
    throw invalid(path, 'its summary counts other members than it lists');
  }
  return summary;
}

async function* lineBlocks(path: string): AsyncGenerator<string[]> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const source = createReadStream(path, { highWaterMark: 1 << 20 });
  const plain = source.pipe(createZstdDecompress({ chunkSize: 1 << 18 }));
  source.on('error', (error) => plain.destroy(error));
  let rest = '';
  try {
    for await (const chunk of plain) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop()!;
      if (rest.length > MAX_LINE) throw invalid(path, 'a line is too long');
      yield lines;
    }
  } finally {
    source.destroy();
  }
  if (rest !== '') throw invalid(path, 'its last line is cut');
}

function invalid(path: string, what: string, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'ManifestInvalid',
    `${path}: not a valid manifest: ${what}. The archive beside it can still be checked by its own checksums (km-backup verify).`,
    { cause },
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isHex = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isDecimal = (value: unknown): value is string =>
  typeof value === 'string' && /^-?\d{1,20}$/.test(value);
const entryTypes: ReadonlySet<unknown> = new Set<EntryType>([
  'file',
  'directory',
  'symlink',
  'hardlink',
  'fifo',
  'character',
  'block',
]);
const memberKinds: ReadonlySet<unknown> = new Set<MemberKind>(['group', 'header', 'part', 'end']);

/** Whether a line has nothing behind its identity but what a regular file's or a directory's has. */
export function isPlainTail(line: string, identityLength: number): boolean {
  const length = line.length - identityLength;
  if (length === 1) return line.endsWith('}');
  return length === PLAIN_TAIL_LENGTH && plainTail.test(line.slice(identityLength));
}

const plainTail = /^,"sha256":"[0-9a-f]{64}"\}$/;
const PLAIN_TAIL_LENGTH = ',"sha256":""}'.length + 64;

/*
 * Entries are checked by hand: there may be millions of them, and a schema library costs more at start-up
 * than a small backup takes.
 */
export function parseEntryLine(line: string, where: string): Entry {
  const value = parseObject(line, where);
  const path = decodeBytes(value, 'path');
  const link = decodeBytes(value, 'link');
  const { size, mode, uid, gid } = value;
  const sound =
    path !== undefined &&
    entryTypes.has(value['type']) &&
    isCount(mode) &&
    mode <= 0o7777 &&
    isCount(uid) &&
    isCount(gid) &&
    isCount(size) &&
    isDecimal(value['mtime']) &&
    isDecimal(value['ctime']) &&
    isDecimal(value['ino']) &&
    (value['sha256'] === undefined || (isHex(value['sha256']) && size <= MAX_MEMBER_BYTES)) &&
    (value['parts'] === undefined || isCount(value['parts'])) &&
    (value['extents'] === undefined || isExtents(value['extents'], size)) &&
    (value['xattrs'] === undefined || isTextRecord(value['xattrs'])) &&
    (value['device'] === undefined || isExtents([value['device']], Number.POSITIVE_INFINITY)) &&
    (link !== undefined) === (value['type'] === 'symlink' || value['type'] === 'hardlink');
  if (!sound) throw invalid(where, `an entry line is malformed: ${line.slice(0, 200)}`);
  // Most names are ASCII: then there is nothing to decode, and a copy would cost as much as parsing did.
  if (value['path'] === path && value['link'] === link) return value as unknown as Entry;
  const { pathBytes: _, linkBytes: __, ...rest } = value;
  return { ...rest, path, ...(link === undefined ? {} : { link }) } as unknown as Entry;
}

function parseObject(line: string, where: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch (error) {
    throw invalid(where, `an entry line is malformed: ${line.slice(0, 200)}`, error);
  }
}

function decodeBytes(value: Record<string, unknown>, key: string): ByteString | undefined {
  const text = value[key];
  if (typeof text === 'string') return text.includes('\0') ? undefined : fromText(text);
  const bytes = value[`${key}Bytes`];
  // biome-ignore lint/suspicious/noControlCharactersInRegex: bytes of a name, NUL excepted
  return typeof bytes === 'string' && /^[\x01-\xff]*$/.test(bytes) ? (bytes as ByteString) : undefined;
}

function isExtents(value: unknown, size: number): value is Extent[] {
  if (!Array.isArray(value)) return false;
  let end = 0;
  return value.every((extent: unknown) => {
    if (!Array.isArray(extent) || extent.length !== 2 || !isCount(extent[0]) || !isCount(extent[1]))
      return false;
    if (size === Number.POSITIVE_INFINITY) return true;
    const ordered = extent[0] >= end && extent[0] + extent[1] <= size;
    end = extent[0] + extent[1];
    return ordered;
  });
}

function isTextRecord(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((text) => typeof text === 'string');
}

function parseMember(value: unknown, where: string): Member {
  if (
    !isRecord(value) ||
    !memberKinds.has(value['kind']) ||
    !isCount(value['offset']) ||
    !isCount(value['size']) ||
    value['size'] > 2 * MAX_MEMBER_BYTES ||
    !isCount(value['rawSize']) ||
    value['rawSize'] > MAX_MEMBER_BYTES ||
    !isHex(value['sha256']) ||
    (value['kind'] === 'part') !== isHex(value['rawSha256'])
  ) {
    throw invalid(where, 'a member line is malformed');
  }
  return value as unknown as Member;
}

function parseSummary(value: unknown, where: string): Summary {
  const counts = [
    'level',
    'sizeBytes',
    'members',
    'entries',
    'files',
    'sourceBytes',
    'reusedBytes',
    'socketsSkipped',
    'excluded',
  ];
  if (
    !isRecord(value) ||
    value['format'] !== 1 ||
    typeof value['archive'] !== 'string' ||
    !(value['series'] === null || typeof value['series'] === 'string') ||
    !['startedAt', 'finishedAt'].every((key) => !Number.isNaN(Date.parse(String(value[key])))) ||
    !(value['compression'] === 'gzip' || value['compression'] === 'zstd') ||
    typeof value['packing'] !== 'string' ||
    !isHex(value['sha256']) ||
    !counts.every((key) => isCount(value[key])) ||
    !isRecord(value['warnings']) ||
    !isCount(value['warnings']['count']) ||
    !Array.isArray(value['warnings']['samples'])
  ) {
    throw invalid(where, 'its summary is malformed or of a later format');
  }
  return value as unknown as Summary;
}
