import { isUtf8 } from 'node:buffer';
import { printable } from '../../log/printable.ts';

/**
 * File names are bytes, not text. A ByteString holds one byte a character (U+0000..U+00FF), so that names
 * of any encoding survive, compare in byte order, serve as map keys, and cost one byte each in memory.
 */
export type ByteString = string & { readonly byteString: unique symbol };

// biome-ignore lint/suspicious/noControlCharactersInRegex: the ASCII range is meant
const ascii = /^[\x00-\x7f]*$/;

export const ROOT = '' as ByteString;

export function fromBuffer(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1') as ByteString;
}

export function toBuffer(bytes: ByteString): Buffer {
  return Buffer.from(bytes, 'latin1');
}

/** The UTF-8 bytes of a text. */
export function fromText(text: string): ByteString {
  return (ascii.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1')) as ByteString;
}

/** The bytes decoded as UTF-8; undefined if they are not valid UTF-8. */
export function toText(bytes: ByteString): string | undefined {
  if (ascii.test(bytes)) return bytes;
  const buffer = toBuffer(bytes);
  return isUtf8(buffer) ? buffer.toString('utf8') : undefined;
}

/** The path for node:fs: a string if that loses nothing, otherwise the bytes. */
export function toPath(bytes: ByteString): string | Buffer {
  return ascii.test(bytes) ? bytes : toBuffer(bytes);
}

export function join(directory: ByteString, name: ByteString): ByteString {
  return (directory === '' ? name : `${directory}/${name}`) as ByteString;
}

/** A name for people to read: escaped, at most `limit` characters. */
export function display(bytes: ByteString, limit = 200): string {
  return printable(ascii.test(bytes) ? bytes : toBuffer(bytes), limit);
}

/**
 * The order in which the walker visits: a directory before what it holds, siblings by their bytes, all of
 * a directory's content before its next sibling (so `/` sorts below every other byte).
 */
export function compareWalkOrder(a: ByteString, b: ByteString): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    if (x === 0x2f) return -1;
    if (y === 0x2f) return 1;
    return x - y;
  }
  return a.length - b.length;
}
