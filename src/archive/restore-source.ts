import fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { codeOf } from '../posix/system-error.ts';
import { ArchiveError } from './errors.ts';
import type { ArchiveInfo } from './inventory.ts';
import { type Compression, compressionOfName } from './managed-name.ts';
import type { Summary } from './manifest.ts';
import { type TarHandler, TarReader } from './restore-tar.ts';

/** How the content of an archive is known to be right. */
export type Source =
  /** By the digests of its manifest; members are restored in parallel. */
  | { readonly against: 'manifest'; readonly info: ArchiveInfo; readonly summary: Summary }
  /** By the checksums of the compression and the structure of the tar alone, read as one stream. */
  | {
      readonly against: 'structure';
      readonly info: ArchiveInfo;
      readonly compression: Compression;
      readonly why: string;
    };

/** Throws `ArchiveCorrupt` where the archive is known to be bad. */
export function sourceOf(info: ArchiveInfo, ignoreManifest: boolean): Source {
  const stream = (why: string): Source => ({
    against: 'structure',
    info,
    compression: compressionOf(info.path),
    why,
  });
  if (ignoreManifest) return stream('its manifest is ignored as told');
  if (info.problem !== undefined) {
    throw new ArchiveError(
      'ArchiveCorrupt',
      `${info.path}: ${info.problem}. Nothing was changed. Restore another archive (km-backup list); where only the manifest is bad, --ignore-manifest restores by the archive's own checksums.`,
    );
  }
  if (!info.summary) return stream('it has no manifest');
  return { against: 'manifest', info, summary: info.summary };
}

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
