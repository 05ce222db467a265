import { hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { ArchiveError } from './errors.ts';
import { deflate } from './libdeflate.ts';
import type { Compression } from './managed-name.ts';
import type { Member } from './manifest.ts';

export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** Of this thread, used again from member to member. */
let compressedRoom: Buffer = Buffer.alloc(0);
let rawRoom: Buffer = Buffer.alloc(0);

/**
 * The tar bytes of a member: read, checked, decompressed (never to more than `rawSize`). They hold until this
 * thread's next call. Throws `ArchiveCorrupt`.
 */
export function readMember(fd: number, member: Member, compression: Compression): Buffer {
  const bytes = readCompressedMember(fd, member);
  if (compression === 'zstd') return decompressMember(bytes, member, compression);
  rawRoom = withRoom(rawRoom, member.rawSize);
  return decompressMember(bytes, member, compression, rawRoom);
}

/** The buffer, or a larger one in its place; the content is undefined. */
export function withRoom(buffer: Buffer, size: number): Buffer {
  return buffer.length >= size ? buffer : Buffer.allocUnsafeSlow(size);
}

/**
 * A member's compressed bytes, checked against their digest. They hold until this thread's next call. Throws
 * `ArchiveCorrupt`.
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

/** `room`: memory to use for the result where the decompressor can. Throws `ArchiveCorrupt`. */
function decompressMember(
  bytes: Uint8Array,
  member: Member,
  compression: Compression,
  room?: Buffer,
): Buffer {
  const { rawSize } = member;
  const limit = { maxOutputLength: rawSize + 1, chunkSize: Math.max(64, rawSize + 1) };
  let raw: Buffer;
  try {
    // What the fast one refuses goes to zlib, which tells why.
    raw =
      compression === 'gzip'
        ? (deflate().gunzip?.(bytes, rawSize, room) ?? gunzipSync(bytes, limit))
        : zstdDecompressSync(bytes, limit);
  } catch (error) {
    throw corrupt(member, error instanceof Error ? error.message : String(error), error);
  }
  if (raw.length !== rawSize) throw corrupt(member, `it holds ${raw.length} bytes in place of ${rawSize}`);
  return raw;
}

function corrupt(member: Member, what: string, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'ArchiveCorrupt',
    `member at offset ${member.offset} (${member.kind}, ${member.size} bytes) is damaged: ${what}`,
    { cause },
  );
}
