import { printable } from '../../log/printable.ts';
import { type ByteString, fromText, toText } from './byte-string.ts';
import type { Entry, EntryType, Extent } from './entry.ts';
import { MAX_MEMBER_BYTES } from './manifest.ts';
import { invalid, isCount, isHex, isRecord } from './manifest-checks.ts';

/** Text that needs no escapes in JSON. */
const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;

function encodeBytes(key: string, bytes: ByteString): string {
  if (plain.test(bytes)) return `"${key}":"${bytes}"`;
  const text = toText(bytes);
  return text === undefined ? `"${key}Bytes":${JSON.stringify(bytes)}` : `"${key}":${JSON.stringify(text)}`;
}

/**
 * The start of an entry's line: everything that a walk sees of it. A repeat run treats a file as unchanged if this text
 * is the same. The path comes first because readers recognize entry lines by it.
 */
export function encodeIdentity(entry: Entry): string {
  const { type, mode, uid, gid, size, mtime, ctime, ino, device } = entry;
  const link = entry.link === undefined ? '' : `,${encodeBytes('link', entry.link)}`;
  const node = device ? `,"device":[${device[0]},${device[1]}]` : '';
  return `{${encodeBytes('path', entry.path)}${link},"type":"${type}","mode":${mode},"uid":${uid},"gid":${gid},"size":${size},"mtime":"${mtime}","ctime":"${ctime}","ino":"${ino}"${node}`;
}

/** One line, including its newline. */
export function encodeEntry(entry: Entry): string {
  const { sha256, parts, extents, xattrs, inconsistent } = entry;
  const digest = sha256 === undefined ? '' : `,"sha256":"${sha256}"`;
  const rest =
    parts || extents || xattrs || inconsistent
      ? JSON.stringify({ parts, extents, xattrs, inconsistent })
      : '{}';
  return `${encodeIdentity(entry)}${digest}${rest === '{}' ? '' : `,${rest.slice(1, -1)}`}}\n`;
}

export function joinLines(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/**
 * The entries of lines that `joinLines` joined.
 * @throws {ArchiveError} ManifestInvalid when a line is malformed.
 */
export function parseLines(lines: string, where: string): Entry[] {
  if (lines === '') return [];
  return lines
    .slice(0, -1)
    .split('\n')
    .map((line) => parseEntryLine(line, where));
}

/** As `parseLines`, for lines that were checked before. Takes half the time. */
export function parseCheckedLines(lines: string): Entry[] {
  const values: Record<string, unknown>[] = JSON.parse(`[${lines.slice(0, -1).replaceAll('\n', ',')}]`);
  return values.map((value) => decoded(value, decodeBytes(value, 'path')!, decodeBytes(value, 'link')));
}

const isDecimal = (value: unknown): value is string =>
  typeof value === 'string' && /^-?\d{1,20}$/.test(value);
/** Nanoseconds since the epoch: seconds of at most 19 digits, followed by 9 digits. */
const isTime = (value: unknown): value is string => typeof value === 'string' && /^-?\d{1,28}$/.test(value);
const entryTypes: ReadonlySet<unknown> = new Set<EntryType>([
  'file',
  'directory',
  'symlink',
  'hardlink',
  'fifo',
  'character',
  'block',
]);
/** Whether at most a digest follows the identity, so that the line need not be parsed. */
export function isPlainTail(line: string, identityLength: number): boolean {
  const length = line.length - identityLength;
  if (length === 1) return line.endsWith('}');
  plainTail.lastIndex = identityLength;
  return length === PLAIN_TAIL_LENGTH && plainTail.test(line);
}

const plainTail = /,"sha256":"[0-9a-f]{64}"\}$/y;
const PLAIN_TAIL_LENGTH = ',"sha256":""}'.length + 64;

/** The path of an entry's line, where it stands there without escapes; undefined elsewhere: parse the line. */
export function plainPathOf(line: string): ByteString | undefined {
  if (!line.startsWith(PATH)) return undefined;
  const path = line.slice(PATH.length, line.indexOf('"', PATH.length));
  return plain.test(path) ? (path as ByteString) : undefined;
}

const PATH = '{"path":"';

/**
 * Parses and checks one entry's line. By hand, because there may be millions, and loading a schema library takes
 * longer than a small backup.
 * @throws {ArchiveError} ManifestInvalid when the line is malformed.
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
    isTime(value['mtime']) &&
    isTime(value['ctime']) &&
    isDecimal(value['ino']) &&
    (value['sha256'] === undefined || (isHex(value['sha256']) && size <= MAX_MEMBER_BYTES)) &&
    (value['parts'] === undefined || isCount(value['parts'])) &&
    (value['extents'] === undefined || isExtents(value['extents'], size)) &&
    (value['xattrs'] === undefined || isTextRecord(value['xattrs'])) &&
    (value['device'] === undefined || isExtents([value['device']], Number.POSITIVE_INFINITY)) &&
    (link !== undefined) === (value['type'] === 'symlink' || value['type'] === 'hardlink');
  if (!sound) throw invalid(where, `an entry line is malformed: ${printable(line, 200)}`);
  return decoded(value, path, link);
}

function decoded(value: Record<string, unknown>, path: ByteString, link: ByteString | undefined): Entry {
  // Manifests of earlier versions say `torn`.
  if (value['torn'] === true) value['inconsistent'] = true;
  // Most names are ASCII and need no decoding. Copying the entry would cost as much as parsing it.
  if (value['path'] === path && value['link'] === link) return value as unknown as Entry;
  const { pathBytes: _, linkBytes: __, ...rest } = value;
  return { ...rest, path, ...(link === undefined ? {} : { link }) } as unknown as Entry;
}

function parseObject(line: string, where: string): Record<string, unknown> {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch (error) {
    throw invalid(where, `an entry line is malformed: ${printable(line, 200)}`, error);
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
