import { hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { ArchiveError } from '../errors.ts';
import { deflate } from './libdeflate.ts';
import type { Member } from './manifest.ts';
import { free, withRoom } from './memory.ts';
import type { Compression } from './names.ts';

export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** This thread's buffers, reused for each member. */
let compressedRoom = Buffer.alloc(0);
let rawRoom = Buffer.alloc(0);

/**
 * Reads, checks and decompresses a member, never to more than `rawSize` bytes.
 * @returns The tar bytes, valid until this thread's next call.
 * @throws {ArchiveError} ArchiveCorrupt when the member is cut, altered or does not decompress.
 */
export function readMember(fd: number, member: Member, compression: Compression): Buffer {
  const bytes = readCompressedMember(fd, member);
  if (compression === 'zstd') {
    free(rawRoom);
    rawRoom = decompress(member, () => zstdDecompressSync(bytes, limitsOf(member)));
    return rawRoom;
  }
  rawRoom = withRoom(rawRoom, member.rawSize);
  // libdeflate only says that it failed; zlib says why.
  return decompress(
    member,
    () => deflate().gunzip?.(bytes, member.rawSize, rawRoom) ?? gunzipSync(bytes, limitsOf(member)),
  );
}

/**
 * Reads a member's compressed bytes and checks them against their digest.
 * @returns The bytes, valid until this thread's next call.
 * @throws {ArchiveError} ArchiveCorrupt when the member is cut or altered.
 */
export function readCompressedMember(fd: number, member: Member): Buffer {
  compressedRoom = withRoom(compressedRoom, member.size);
  const bytes = compressedRoom.subarray(0, member.size);
  let done = 0;
  while (done < member.size) {
    const count = readSync(fd, bytes, done, member.size - done, member.offset + done);
    if (count === 0) throw corrupt(member, `the archive ends ${member.size - done} bytes early`);
    done += count;
  }
  if (sha256Hex(bytes) !== member.sha256) throw corrupt(member, 'its bytes do not match its digest');
  return bytes;
}

function limitsOf({ rawSize }: Member) {
  return { maxOutputLength: rawSize + 1, chunkSize: Math.max(64, rawSize + 1) };
}

function decompress(member: Member, work: () => Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
  let raw: Buffer<ArrayBuffer>;
  try {
    raw = work();
  } catch (error) {
    throw corrupt(member, error instanceof Error ? error.message : String(error), error);
  }
  const { rawSize } = member;
  if (raw.length !== rawSize) throw corrupt(member, `it holds ${raw.length} bytes instead of ${rawSize}`);
  return raw;
}

function corrupt(member: Member, what: string, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'ArchiveCorrupt',
    `member at offset ${member.offset} (${member.kind}, ${member.size} bytes) is damaged: ${what}`,
    { cause },
  );
}
