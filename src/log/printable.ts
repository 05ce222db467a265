import { isUtf8 } from 'node:buffer';

/*
 * Escapes text for people. File names, series, arguments and messages come from outside: unescaped, a newline forges a
 * line of a log, and an escape sequence or a right-to-left mark rewrites a terminal.
 */

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

// Controls, line and paragraph separators, invisible and direction-changing format characters, unpaired
// surrogates, private use, unassigned.
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/u;
const everyUnprintable = new RegExp(unprintable, 'gu');
const plain = /^[\x20-\x7e]*$/;
const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * Makes text safe for one line of a log, a table or a terminal: characters that do not print become `\n`, `\x1b` or
 * `\u{202e}`, and bytes that are not UTF-8 become `\xff`. Escaping twice changes nothing.
 * @param max The most UTF-16 units of the result, which ends in `…` if it was cut. `Infinity` never cuts.
 */
export function printable(text: string | Uint8Array, max = 256): string {
  const raw = typeof text === 'string' ? text.slice(0, max + 1) : decode(text.subarray(0, (max + 1) * 4));
  if (raw.length <= max && plain.test(raw)) return raw;
  const parts: string[] = [];
  let length = 0;
  for (const character of raw) {
    const part = unprintable.test(character) ? escapeOf(character) : character;
    parts.push(part);
    length += part.length;
    if (length > max) break;
  }
  if (length <= max) return parts.join('');
  while (length > max - 1) length -= parts.pop()!.length;
  return `${parts.join('')}…`;
}

/** JSON on one line, escaping what `printable` escapes. Parsing gives the same value. */
export function printableJson(value: unknown): string {
  return escapeJson(JSON.stringify(value));
}

/** The same for text that is already JSON. Its newlines stay. */
export function escapeJson(json: string): string {
  return json.replace(everyUnprintable, (character) =>
    character === '\n'
      ? character
      : character.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

function escapeOf(character: string): string {
  return short[character] ?? hex(character.codePointAt(0)!);
}

function hex(value: number): string {
  return value < 0x100 ? `\\x${value.toString(16).padStart(2, '0')}` : `\\u{${value.toString(16)}}`;
}

/** UTF-8 to text; a byte that is not part of a valid character becomes `\xNN`. */
function decode(bytes: Uint8Array): string {
  if (isUtf8(bytes)) return utf8.decode(bytes);
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    const character = bytes.subarray(at, at + length);
    const valid = isUtf8(character);
    text += valid ? utf8.decode(character) : hex(lead);
    at += valid ? length : 1;
  }
  return text;
}
