import fs from 'node:fs';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { isSystemError } from '../../posix/system-error.ts';
import { ArchiveError, readError } from '../errors.ts';
import type { Compression } from './names.ts';
import { openFile } from './open-file.ts';
import { endsInZeros } from './padding.ts';
import { type TarHandler, TarReader } from './tar-reader.ts';

/**
 * Detects the compression of an archive by its first bytes.
 * @throws {ArchiveError} ArchiveCorrupt when they match neither gzip nor zstd.
 */
export function compressionOf(file: string): Compression {
  const fd = openFile(file);
  try {
    const start = Buffer.alloc(4);
    const length = fs.readSync(fd, start, 0, 4, 0);
    if (length === 0) throw new ArchiveError('ArchiveCorrupt', `${file} is empty.`);
    if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
    const magic = start.readUInt32LE(0);
    if (magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50) return 'zstd';
    throw new ArchiveError('ArchiveCorrupt', `${file} is neither a gzip nor a zstd file.`);
  } catch (error) {
    throw readError(error, file);
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Reads a whole archive through one decompressor: checksums, headers, the end mark, and that nothing but zeros
 * follows. Zeros after the compressed data count as padding, as in GNU gzip.
 * @param handler Its `read` is called with the number of compressed bytes consumed so far.
 * @throws {ArchiveError} ArchiveCorrupt, RestoreRefused or ArchiveUnreadable. What the handler throws passes through.
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
  const input = fs.createReadStream(file, { fd: openFile(file), highWaterMark: 1 << 20 });
  input.on('error', (error) => decoder.destroy(error));
  // Not `pipeline`: it reports an error when the decoder ends before its input, as it does at padding.
  input.pipe(decoder);
  try {
    for await (const chunk of decompressed(decoder, file)) {
      signal?.throwIfAborted();
      reader.push(chunk);
      handler.read?.(decoder.bytesWritten);
    }
    reader.end();
    refuseSurplus(file, decoder.bytesWritten);
  } finally {
    input.destroy();
    decoder.destroy();
  }
}

/** Yields the decoder's output. An error of the decoder means damage; one of its input does not. */
async function* decompressed(decoder: AsyncIterable<Buffer>, file: string): AsyncGenerator<Buffer> {
  const chunks = decoder[Symbol.asyncIterator]();
  for (;;) {
    let next: IteratorResult<Buffer>;
    try {
      next = await chunks.next();
    } catch (error) {
      if (isSystemError(error)) throw readError(error, file);
      throw new ArchiveError('ArchiveCorrupt', describeDamage(error), { cause: error });
    }
    if (next.done) return;
    yield next.value;
  }
}

function describeDamage(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  switch (text) {
    case 'unexpected end of file':
      return 'its compressed data end too early, so it was cut short';
    case 'incorrect data check':
    case 'incorrect length check':
      return 'its content does not match the checksum of the compression';
    default:
      return `its compressed data are damaged (${text})`;
  }
}

function refuseSurplus(file: string, end: number): void {
  const fd = openFile(file);
  try {
    if (endsInZeros(fd, end)) return;
  } catch (error) {
    throw readError(error, file);
  } finally {
    fs.closeSync(fd);
  }
  throw new ArchiveError('ArchiveCorrupt', 'something other than zeros follows the compressed data');
}
