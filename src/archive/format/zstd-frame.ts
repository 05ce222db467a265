import { constants, zstdCompressSync } from 'node:zlib';

/** Compresses into exactly one frame, with a checksum. */
export function zstdFrame(raw: Uint8Array, level: number): Buffer<ArrayBuffer> {
  return zstdCompressSync(raw, {
    // One chunk for the whole output: several would take twice as long, and after a frame that exactly fills its chunks
    // Node.js appends an empty one.
    chunkSize: zstdBound(raw.length),
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
}

/** ZSTD_COMPRESSBOUND, with room for the checksum and for short input. */
function zstdBound(size: number): number {
  return size + (size >> 8) + 1024;
}
