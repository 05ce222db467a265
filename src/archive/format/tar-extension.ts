import type { ByteString } from './byte-string.ts';
import { fromBuffer } from './byte-string.ts';
import { corrupt, parseDecimal, parseTime, untilNul } from './tar-fields.ts';
import { MAX_EXTENTS } from './tar-sparse.ts';

/** Bytes of all extended headers of one entry. Attributes and names of Linux stay far below it. */
export const MAX_EXTENSION = 16 * 1024 * 1024;

/** What extended headers say about the next entry. Built up in place: its cost is linear in their bytes. */
export interface Extension {
  path?: ByteString;
  linkpath?: ByteString;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: string;
  readonly xattrs: Map<string, string>;
  /** `GNU.sparse.*` without that prefix. */
  readonly sparse: Map<string, string>;
  /** Offsets and lengths of sparse format 0.0. */
  readonly sparsePairs: number[];
}

/** What global headers say about all entries that follow. Their other records are ignored. */
export type GlobalExtension = Pick<Extension, 'size' | 'uid' | 'gid' | 'mtime'>;

export function emptyExtension(): Extension {
  return { xattrs: new Map(), sparse: new Map(), sparsePairs: [] };
}

export function applyGlobal(global: GlobalExtension, body: Buffer, at: number): void {
  for (const { key, value } of records(body, at)) applyNumber(global, key, value, at);
}

export function applyPax(extension: Extension, body: Buffer, at: number): void {
  for (const { key, value } of records(body, at)) {
    if (!applyNumber(extension, key, value, at)) applyRecord(extension, key, value, at);
  }
}

/** GNU's `L` and `K` headers. A pax record takes precedence. */
export function applyLongName(extension: Extension, type: string, body: Buffer): void {
  if (type === 'L') extension.path ??= untilNul(body);
  else extension.linkpath ??= untilNul(body);
}

/** `LENGTH KEY=VALUE\n`, where the length counts the whole record. Values are bytes. */
function* records(body: Buffer, at: number): Generator<{ key: string; value: Buffer }> {
  for (let start = 0; start < body.length; ) {
    const space = body.indexOf(0x20, start);
    const digits = space === -1 || space - start > 9 ? '' : body.toString('latin1', start, space);
    const length = /^\d{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = start + length;
    const equals = body.indexOf(0x3d, space);
    if (length === 0 || end > body.length || body[end - 1] !== 0x0a || equals === -1 || equals >= end) {
      throw corrupt(at, 'a malformed extended header');
    }
    yield { key: body.toString('latin1', space + 1, equals), value: body.subarray(equals + 1, end - 1) };
    start = end;
  }
}

function applyNumber(extension: GlobalExtension, key: string, value: Buffer, at: number): boolean {
  switch (key) {
    case 'size':
    case 'uid':
    case 'gid':
      extension[key] = parseDecimal(fromBuffer(value), key, at);
      return true;
    case 'mtime':
      extension.mtime = parseTime(fromBuffer(value), at);
      return true;
    default:
      return false;
  }
}

function applyRecord(extension: Extension, key: string, value: Buffer, at: number): void {
  switch (key) {
    case 'path':
      if (value.length > 0) extension.path = fromBuffer(value);
      return;
    case 'linkpath':
      extension.linkpath = fromBuffer(value);
      return;
    case 'GNU.sparse.offset':
    case 'GNU.sparse.numbytes':
      extension.sparsePairs.push(parseDecimal(fromBuffer(value), key, at));
      if (extension.sparsePairs.length > 2 * MAX_EXTENTS) throw corrupt(at, 'a sparse map without end');
      return;
    default:
      if (key.startsWith('GNU.sparse.'))
        extension.sparse.set(key.slice('GNU.sparse.'.length), fromBuffer(value));
      else if (key.startsWith('SCHILY.xattr.')) {
        extension.xattrs.set(xattrName(key), value.toString('base64'));
      }
  }
}

/** One character for each byte, with GNU tar's escapes undone. */
function xattrName(key: string): string {
  return key.slice('SCHILY.xattr.'.length).replaceAll('%3D', '=').replaceAll('%25', '%');
}
