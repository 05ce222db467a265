import { ArchiveError } from '../errors.ts';
import { type ByteString, fromBuffer } from './byte-string.ts';

/** The fields of a tar's header blocks. `at` is the block's place in the tar, for messages. */

export const BLOCK = 512;

const NS = 1_000_000_000n;

export function roundUp(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

export function corrupt(at: number, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `the tar is damaged near byte ${at}: ${what}`);
}

export function isZero(block: Buffer): boolean {
  return block[0] === 0 && block.every((byte) => byte === 0);
}

/** The name of an entry, with the prefix that ustar puts before it. */
export function readName(block: Buffer): ByteString {
  const name = readString(block, 0, 100);
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? readString(block, 345, 155) : '';
  return (prefix === '' ? name : `${prefix}/${name}`) as ByteString;
}

export function readString(block: Buffer, start: number, length: number): ByteString {
  return untilNul(block.subarray(start, start + length));
}

export function untilNul(bytes: Buffer): ByteString {
  const end = bytes.indexOf(0);
  return fromBuffer(end === -1 ? bytes : bytes.subarray(0, end));
}

/** A number in octal, or in base 256 when the first bit is set. */
export function readNumber(block: Buffer, start: number, length: number, what: string, at: number): number {
  const number = Number(readInteger(block, start, length, what, at));
  if (!Number.isSafeInteger(number)) throw corrupt(at, `a ${what} out of range`);
  return number;
}

/** Seconds since the epoch as nanoseconds, decimal. */
export function readTime(block: Buffer, at: number): string {
  return timeOf(readInteger(block, 136, 12, 'mtime', at), 0n, at);
}

function readInteger(block: Buffer, start: number, length: number, what: string, at: number): bigint {
  const first = block[start]!;
  if (first & 0x80) {
    // Two's complement, without the mark in the highest bit.
    const hex = block.toString('hex', start + 1, start + length);
    const high = BigInt(first & 0x40 ? first - 0x100 : first & 0x7f);
    return (high << BigInt(8 * (length - 1))) | BigInt(`0x${hex}`);
  }
  const text = block.toString('latin1', start, start + length);
  const match = /^ *([0-7]*)[ \0]*$/.exec(text);
  if (!match) throw corrupt(at, `a malformed ${what}`);
  return BigInt(Number.parseInt(match[1] || '0', 8));
}

/** A decimal number of a pax record or a sparse map. */
export function parseDecimal(text: string | undefined, what: string, at: number): number {
  const value = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw corrupt(at, `a malformed ${what}`);
  return value;
}

/** A pax time as nanoseconds, decimal. Finer digits are rounded down, as in GNU tar. */
export function parseTime(text: string, at: number): string {
  const match = /^(-?)(\d{1,19})(?:\.(\d*))?$/.exec(text);
  if (!match) throw corrupt(at, 'a malformed mtime');
  const [, sign, whole, fraction = ''] = match;
  const seconds = BigInt(whole!);
  const nanoseconds = BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  if (sign === '') return timeOf(seconds, nanoseconds, at);
  const isFiner = /[1-9]/.test(fraction.slice(9));
  return timeOf(-seconds, -nanoseconds - (isFiner ? 1n : 0n), at);
}

/** Any time that Linux can hold: a signed 64-bit number of seconds. */
function timeOf(seconds: bigint, nanoseconds: bigint, at: number): string {
  const time = seconds * NS + nanoseconds;
  const floor = time / NS - (time % NS < 0n ? 1n : 0n);
  if (BigInt.asIntN(64, floor) !== floor) throw corrupt(at, 'an mtime out of range');
  return time.toString();
}

/** @throws {ArchiveError} ArchiveCorrupt unless the header matches its checksum, with bytes signed or not. */
export function checkSum(block: Buffer, at: number): void {
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
