import fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { type Compression, compressionOfName } from './names.ts';
import { type TarHandler, TarReader } from './tar-reader.ts';

/** The compression of an archive, by its first bytes; the name counts where they tell nothing. */
export function compressionOf(file: string): Compression {
  const fd = fs.openSync(file, 'r');
  try {
    const start = Buffer.alloc(4);
    fs.readSync(fd, start, 0, 4, 0);
    if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
    return start.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : compressionOfName(file);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Reads a whole archive through one decompressor: checksums, headers, the end mark, and that nothing
 * follows. `read` is told the compressed bytes taken so far. Throws `ArchiveCorrupt` or `RestoreRefused`.
 */
export async function readTar(
  file: string,
  compression: Compression,
  handler: TarHandler & { read?(compressedBytes: number): void },
  signal: AbortSignal | undefined,
): Promise<void> {
  const reader = new TarReader(handler);
  const decoder =
    compression === 'gzip'
      ? createGunzip({ chunkSize: 1 << 18 })
      : createZstdDecompress({ chunkSize: 1 << 18 });
  const input = fs.createReadStream(file, { highWaterMark: 1 << 20 });
  try {
    const consume = async (plain: AsyncIterable<Buffer>) => {
      for await (const chunk of plain) {
        reader.push(chunk);
        handler.read?.(decoder.bytesWritten);
      }
    };
    await pipeline(input, decoder, consume, signal ? { signal } : {});
    reader.end();
    if (decoder.bytesWritten !== input.bytesRead) {
      throw new ArchiveError('ArchiveCorrupt', 'something else follows the compressed data');
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof Error) || !/^(Z_|ZSTD_|ERR_(ZSTD|ZLIB|BUFFER))/.test(codeOf(error) ?? ''))
      throw error;
    throw new ArchiveError('ArchiveCorrupt', error.message, { cause: error });
  }
}
