import { hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { ArchiveError } from './errors.ts';
import { deflate } from './libdeflate.ts';
import type { Compression } from './managed-name.ts';
import type { Member } from './manifest.ts';

/** No member holds more tar bytes than this; a manifest that says so is refused. */
export const MAX_MEMBER_BYTES = 64 * 1024 * 1024;

export function sha256Hex(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** Reads a member's compressed bytes and checks them against their digest. Throws `ArchiveCorrupt`. */
export function readCompressedMember(fd: number, member: Member): Buffer {
  const bytes = Buffer.allocUnsafeSlow(member.size);
  let done = 0;
  while (done < member.size) {
    const count = readSync(fd, bytes, done, member.size - done, member.offset + done);
    if (count === 0) throw corrupt(member, `the archive ends ${member.size - done} bytes early`);
    done += count;
  }
  if (sha256Hex(bytes) !== member.sha256) throw corrupt(member, 'its bytes do not match its digest');
  return bytes;
}

/** The tar bytes of a member: read, checked, decompressed (never to more than `rawSize`). Throws `ArchiveCorrupt`. */
export function readMember(fd: number, member: Member, compression: Compression): Buffer {
  return decompressMember(readCompressedMember(fd, member), member, compression);
}

export function decompressMember(bytes: Uint8Array, member: Member, compression: Compression): Buffer {
  if (member.rawSize > MAX_MEMBER_BYTES) throw corrupt(member, `it claims ${member.rawSize} bytes`);
  const limit = { maxOutputLength: member.rawSize + 1, chunkSize: Math.max(64, member.rawSize + 1) };
  let raw: Buffer;
  try {
    // What the fast one refuses goes to zlib, which tells why.
    raw =
      compression === 'gzip'
        ? (deflate().gunzip?.(bytes, member.rawSize) ?? gunzipSync(bytes, limit))
        : zstdDecompressSync(bytes, limit);
  } catch (error) {
    throw corrupt(member, error instanceof Error ? error.message : String(error), error);
  }
  if (raw.length !== member.rawSize) {
    throw corrupt(member, `it holds ${raw.length} bytes in place of ${member.rawSize}`);
  }
  return raw;
}

function corrupt(member: Member, what: string, cause?: unknown): ArchiveError {
  return new ArchiveError(
    'ArchiveCorrupt',
    `member at offset ${member.offset} (${member.kind}, ${member.size} bytes) is damaged: ${what}`,
    { cause },
  );
}
