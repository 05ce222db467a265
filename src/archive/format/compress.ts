import { deflate } from './libdeflate.ts';
import { free } from './memory.ts';
import type { Compression } from './names.ts';
import { zstdFrame } from './zstd-frame.ts';

/** The range and the default of compression levels. gzip's 5 makes archives within 3% of the size of `tar -czf`'s. */
export const levels: Record<Compression, { min: number; max: number; standard: number }> = {
  gzip: { min: 1, max: 12, standard: 5 },
  zstd: { min: 1, max: 19, standard: 3 },
};

/**
 * Compresses into one self-contained gzip member or zstd frame; the same input always gives the same bytes.
 * @returns The bytes, valid until this thread's next call.
 */
export function compress(raw: Uint8Array, compression: Compression, level: number): Uint8Array {
  if (compression === 'gzip') return deflate().gzip(raw, level);
  free(frame);
  frame = zstdFrame(raw, level);
  return frame;
}

/** The result of this thread's latest call. */
let frame: Buffer<ArrayBuffer> = Buffer.alloc(0);
