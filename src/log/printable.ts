import { isUtf8 } from 'node:buffer';

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

function hex(value: number): string {
  return value < 0x100 ? `\\x${value.toString(16).padStart(2, '0')}` : `\\u{${value.toString(16)}}`;
}

/** Bytes that are no UTF-8 become `\xNN`; what is becomes text. */
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

// Controls, separators of lines and paragraphs, invisible and direction-changing format characters,
// surrogates without a partner, private use, unassigned.
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}\p{Cs}\p{Co}\p{Cn}]/u;
const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * A string from outside (a file name, a message) for one line of a log, a label or a terminal: everything that
 * does not print is escaped, and the result has at most `max` UTF-16 units, ending in `…` when it was cut.
 */
export function printable(text: string | Uint8Array, max = 256): string {
  const raw = typeof text === 'string' ? text.slice(0, max + 1) : decode(text.subarray(0, (max + 1) * 4));
  const parts: string[] = [];
  let length = 0;
  for (const character of raw) {
    const part = unprintable.test(character)
      ? (short[character] ?? hex(character.codePointAt(0)!))
      : character;
    parts.push(part);
    length += part.length;
    if (length > max) break;
  }
  if (length <= max) return parts.join('');
  while (length > max - 1) length -= parts.pop()!.length;
  return `${parts.join('')}…`;
}
