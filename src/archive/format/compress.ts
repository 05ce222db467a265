import { constants, zstdCompressSync } from 'node:zlib';
import { deflate } from './libdeflate.ts';
import { free } from './memory.ts';
import type { Compression } from './names.ts';

/** What a level may be, and what it is unless told: gzip's 5 makes archives within 3% of `tar -czf`'s. */
export const levels: Record<Compression, { min: number; max: number; standard: number }> = {
  gzip: { min: 1, max: 12, standard: 5 },
  zstd: { min: 1, max: 19, standard: 3 },
};

/**
 * One gzip member or one zstd frame, complete in itself and the same for the same input. Its bytes hold until this
 * thread's next call.
 */
export function compress(raw: Uint8Array, compression: Compression, level: number): Uint8Array {
  if (compression === 'gzip') return deflate().gzip(raw, level);
  free(frame);
  frame = zstdCompressSync(raw, {
    // Room for all at once: in pieces it takes twice as long.
    chunkSize: zstdBound(raw.length),
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  return frame;
}

/** Of this thread's latest call. */
let frame: Buffer<ArrayBuffer> = Buffer.alloc(0);

/** As ZSTD_COMPRESSBOUND has it, and some more for the checksum and for short input. */
function zstdBound(size: number): number {
  return size + (size >> 8) + 1024;
}
