import type { Compression } from './names.ts';

/** File systems that share blocks (XFS, btrfs) share whole blocks only, of 4 KiB. */
export const ALIGNMENT = 4096;

/** The smallest padding that both forms below can make, in bytes. */
const LEAST_PADDING = 8;

/** Bytes to add to a member that would end at `end`, so that it ends at the end of a block. */
export function paddingAt(end: number): number {
  const missing = (ALIGNMENT - (end % ALIGNMENT)) % ALIGNMENT;
  return missing === 0 || missing >= LEAST_PADDING ? missing : missing + ALIGNMENT;
}

/**
 * A copy of the member, grown by `count` bytes that every reader skips: an extra field of a gzip member (RFC 1952,
 * 2.3.1.1), or a skippable frame before a zstd frame (RFC 8878, 3.1.2).
 */
export function withPadding(
  member: Uint8Array,
  compression: Compression,
  count: number,
): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(member.length + count);
  if (count === 0) {
    grown.set(member);
    return grown;
  }
  const view = new DataView(grown.buffer);
  if (compression === 'zstd') {
    view.setUint32(0, 0x184d2a50, true);
    view.setUint32(4, count - 8, true);
    grown.set(member, count);
    return grown;
  }
  const HEADER = 10;
  const FEXTRA = 4;
  if (member[3] !== 0) throw new Error('the gzip member has optional fields already');
  grown.set(member.subarray(0, HEADER));
  grown[3] = FEXTRA;
  view.setUint16(HEADER, count - 2, true);
  grown.set(Buffer.from('KM'), HEADER + 2);
  view.setUint16(HEADER + 4, count - 6, true);
  grown.set(member.subarray(HEADER), HEADER + count);
  return grown;
}
