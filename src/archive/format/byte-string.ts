import { isUtf8 } from 'node:buffer';

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

/** The bytes of a text in UTF-8. */
export function fromText(text: string): ByteString {
  return (ascii.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1')) as ByteString;
}

/** The text that the bytes spell in UTF-8, or undefined where they are not valid UTF-8. */
export function toText(bytes: ByteString): string | undefined {
  if (ascii.test(bytes)) return bytes;
  const buffer = toBuffer(bytes);
  return isUtf8(buffer) ? buffer.toString('utf8') : undefined;
}

/** What node:fs takes as a path: a string where that is faithful, else the bytes. */
export function toPath(bytes: ByteString): string | Buffer {
  return ascii.test(bytes) ? bytes : toBuffer(bytes);
}

export function join(directory: ByteString, name: ByteString): ByteString {
  return (directory === '' ? name : `${directory}/${name}`) as ByteString;
}

/** For people: control characters and bytes outside UTF-8 escaped, at most `limit` characters. */
export function display(bytes: ByteString, limit = 200): string {
  const text = toText(bytes);
  const escaped =
    text === undefined
      ? bytes.replace(/[^\x20-\x7e]|\\/g, byteEscape)
      : text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\\]/gu, textEscape);
  return escaped.length > limit ? `${escaped.slice(0, limit - 1)}…` : escaped;
}

const named: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' };

function byteEscape(character: string): string {
  return named[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

function textEscape(character: string): string {
  return named[character] ?? `\\u{${character.codePointAt(0)!.toString(16)}}`;
}

/**
 * The order in which the walker visits: a directory before what it holds, siblings by their bytes, all of
 * a directory's content before its next sibling (so `/` sorts below every other byte).
 */
export function compareWalkOrder(a: ByteString, b: ByteString): number {
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
