import koffi from 'koffi';
import { gzip } from 'libdeflate';

/*
 * Two builds of libdeflate: the system's (Debian's libdeflate0, which the image has), or, if there is none, the one in
 * WebAssembly from npm. The system's is 1.6 times as fast.
 */

export interface Deflate {
  /** Makes one gzip member. The bytes are valid until this thread's next call. */
  gzip(raw: Uint8Array, level: number): Uint8Array;
  /**
   * Decompresses one gzip member, into `room` if given.
   * @param size Exact size of the content in bytes.
   * @returns Undefined if the bytes are damaged or the content has another size.
   */
  gunzip?(bytes: Uint8Array, size: number, room?: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> | undefined;
}

type Handle = object;

let chosen: Deflate | undefined;

/** The fastest build that this system has. */
export function deflate(): Deflate {
  chosen ??= systemDeflate() ?? wasmDeflate;
  return chosen;
}

export const wasmDeflate: Deflate = {
  gzip,
};

/** The system's build; undefined if it has none. */
export function systemDeflate(): Deflate | undefined {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load('libdeflate.so.0');
  } catch {
    return undefined;
  }
  const allocate = library.func('void *libdeflate_alloc_compressor(int level)') as (
    level: number,
  ) => Handle | null;
  const bound = library.func('size_t libdeflate_gzip_compress_bound(void *compressor, size_t size)') as (
    compressor: Handle,
    size: number,
  ) => number | bigint;
  const compress = library.func(
    'size_t libdeflate_gzip_compress(void *compressor, const void *raw, size_t size, void *out, size_t room)',
  ) as (compressor: Handle, raw: Uint8Array, size: number, out: Uint8Array, room: number) => number | bigint;
  const allocateInflater = library.func('void *libdeflate_alloc_decompressor()') as () => Handle | null;
  const decompress = library.func(
    'int libdeflate_gzip_decompress_ex(void *decompressor, const void *bytes, size_t size, void *out, size_t room, void *taken, void *written)',
  ) as (
    decompressor: Handle,
    bytes: Uint8Array,
    size: number,
    out: Uint8Array,
    room: number,
    taken: Uint8Array,
    written: Uint8Array,
  ) => number;

  // Kept for the thread's lifetime: allocating one costs as much as compressing a small file.
  const compressors = new Map<number, Handle>();
  let inflater: Handle | undefined;
  const taken = Buffer.alloc(8);
  const written = Buffer.alloc(8);
  let scratch = Buffer.alloc(0);

  return {
    gzip(raw, level) {
      let compressor = compressors.get(level);
      if (!compressor) {
        compressor = present(allocate(level));
        compressors.set(level, compressor);
      }
      const room = Number(bound(compressor, raw.length));
      if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);
      const size = Number(compress(compressor, raw, raw.length, scratch, scratch.length));
      if (size === 0) throw new Error('libdeflate could not compress');
      return scratch.subarray(0, size);
    },
    gunzip(bytes, size, room = Buffer.allocUnsafeSlow(Math.max(1, size))) {
      inflater ??= present(allocateInflater());
      const status = decompress(inflater, bytes, bytes.length, room, size, taken, written);
      const exact =
        status === 0 &&
        taken.readBigUInt64LE() === BigInt(bytes.length) &&
        written.readBigUInt64LE() === BigInt(size);
      return exact ? room.subarray(0, size) : undefined;
    },
  };
}

function present(handle: Handle | null): Handle {
  if (!handle) throw new Error('libdeflate could not allocate memory');
  return handle;
}
