/** Random access to a manifest: its zstd frames, each of which holds whole members. */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { zstdDecompress } from 'node:zlib';
import { isSystemError } from '../../posix/system-error.ts';
import { ArchiveError, readError } from '../errors.ts';
import { FOOTER_BYTES, FRAME_BYTES, type Summary } from './manifest.ts';
import { invalid } from './manifest-checks.ts';
import { readSummary } from './manifest-reader.ts';
import { free } from './memory.ts';
import { openFile } from './open-file.ts';

const FRAME_MAGIC = 0xfd2fb528;
/** Longest frame header and block header. */
const HEADER_BYTES = 18;
/** No frame has more text: the longest lines are those of sparse files with many extents. */
const MAX_TEXT = 512 * 1024 * 1024;

interface Frame {
  readonly offset: number;
  readonly size: number;
  /** Bytes of its text, if the frame says so. */
  readonly textBytes: number | undefined;
}

/** An open manifest. Holds two numbers for each 512 KiB of its text. */
export class ManifestFrames implements Disposable {
  readonly summary: Summary;
  readonly #path: string;
  readonly #fd: number;
  readonly #frames: Frame[] = [];

  /** @throws {ArchiveError} ManifestInvalid, ArchiveMissing or ArchiveUnreadable. */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openFile(path);
    try {
      const summary = readSummary(path);
      if (!summary) throw new ArchiveError('ArchiveMissing', `${path} does not exist.`);
      this.summary = summary;
      const end = fstatSync(this.#fd).size - FOOTER_BYTES;
      for (let offset = 0; offset < end; ) {
        const frame = this.#frameAt(offset, end);
        this.#frames.push(frame);
        offset += frame.size;
      }
      // The last one holds the summary.
      this.#frames.pop();
    } catch (error) {
      closeSync(this.#fd);
      throw this.#failure(error);
    }
  }

  get length(): number {
    return this.#frames.length;
  }

  /** The lines of a frame. @throws {ArchiveError} ManifestInvalid or ArchiveUnreadable. */
  async text(index: number): Promise<Buffer<ArrayBuffer>> {
    const { offset, size, textBytes = FRAME_BYTES } = this.#frames[index]!;
    try {
      const bytes = this.#read(offset, size);
      const chunkSize = Math.min(Math.max(64, textBytes + 1), 4 * FRAME_BYTES);
      const text = await decompress(bytes, chunkSize);
      free(bytes);
      return text;
    } catch (error) {
      throw this.#failure(error);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #frameAt(offset: number, end: number): Frame {
    const header = this.#read(offset, Math.min(HEADER_BYTES, end - offset));
    if (header.length < 6 || header.readUInt32LE(0) !== FRAME_MAGIC) throw this.#damaged();
    const descriptor = header[4]!;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
    const sizeAt = 5 + (isSingleSegment ? 0 : 1) + [0, 1, 2, 4][descriptor & 3]!;
    let at = offset + sizeAt + sizeBytes;
    for (let isLast = false; !isLast; ) {
      if (at + 3 > end) throw this.#damaged();
      const block = this.#read(at, 3).readUIntLE(0, 3);
      isLast = (block & 1) !== 0;
      const isRepeatedByte = ((block >> 1) & 3) === 1;
      at += 3 + (isRepeatedByte ? 1 : block >> 3);
    }
    at += descriptor & 4 ? 4 : 0;
    if (at > end) throw this.#damaged();
    return { offset, size: at - offset, textBytes: textBytesOf(header, sizeAt, sizeBytes) };
  }

  #read(offset: number, length: number): Buffer<ArrayBuffer> {
    const bytes = Buffer.allocUnsafe(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#fd, bytes, done, length - done, offset + done);
      if (count === 0) throw this.#damaged();
      done += count;
    }
    return bytes;
  }

  #damaged(): ArchiveError {
    return invalid(this.#path, 'it is cut short or damaged');
  }

  #failure(error: unknown): ArchiveError {
    if (error instanceof ArchiveError) return error;
    if (isSystemError(error)) return readError(error, this.#path);
    return invalid(this.#path, error instanceof Error ? error.message : String(error), error);
  }
}

function textBytesOf(header: Buffer, at: number, bytes: number): number | undefined {
  if (bytes === 0 || header.length < at + bytes) return undefined;
  if (bytes === 8) return Number(header.readBigUInt64LE(at));
  return header.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
}

function decompress(bytes: Buffer, chunkSize: number): Promise<Buffer<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    zstdDecompress(bytes, { chunkSize, maxOutputLength: MAX_TEXT }, (error, text) =>
      error ? reject(error) : resolve(text),
    );
  });
}
