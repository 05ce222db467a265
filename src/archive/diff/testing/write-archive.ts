/** Archives of which only the manifest is real, for tests of what is read from manifests. */
import fs from 'node:fs';
import path from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import type { ByteString } from '../../format/byte-string.ts';
import type { Entry } from '../../format/entry.ts';
import { encodeEntry } from '../../format/entry-line.ts';
import { FOOTER_BYTES, FOOTER_MAGIC, type Member } from '../../format/manifest.ts';

/** A group, or a large file with the digests of its slices. */
export type Unit = readonly Entry[] | { readonly large: Entry; readonly parts: readonly string[] };

export function file(name: string, more: Partial<Omit<Entry, 'path'>> = {}): Entry {
  return {
    path: name as ByteString,
    type: 'file',
    mode: 0o644,
    uid: 1000,
    gid: 1000,
    size: 1,
    mtime: '1700000000123456789',
    ctime: '1700000000123456789',
    ino: '7',
    ...(more.type === undefined || more.type === 'file' ? { sha256: digest(0) } : {}),
    ...more,
  };
}

export const digest = (value: number): string => value.toString(16).padStart(64, '0');

/**
 * @param membersPerFrame Real manifests have 512 KiB of text in a frame.
 * @param emptyFrame After the frame with this number there is an empty one, as in manifests of earlier versions.
 */
export function writeArchive(
  archive: string,
  units: readonly Unit[],
  membersPerFrame = 2,
  emptyFrame = -1,
): string {
  const frames: string[] = [];
  let members = 0;
  let offset = 0;
  let entries = 0;
  const add = (kind: Member['kind'], lines: string, rawSha256?: string) => {
    // Sizes that differ move the offsets of all later members.
    const size = 50 + (lines.length % 37);
    const member = { kind, offset, size, rawSize: 1024, sha256: digest(members), rawSha256 };
    const text = `${JSON.stringify({ member })}\n${lines}`;
    if (members % membersPerFrame === 0) frames.push(text);
    else frames[frames.length - 1] += text;
    members++;
    offset += size;
    entries += lines.split('\n').length - 1;
  };
  for (const unit of units) {
    if ('large' in unit) {
      add('header', encodeEntry({ ...unit.large, parts: unit.parts.length }));
      for (const part of unit.parts) add('part', '', part);
    } else add('group', unit.map(encodeEntry).join(''));
  }
  add('end', '');
  const at = new Date(0).toISOString();
  const summary = {
    format: 1,
    archive: path.basename(archive),
    series: null,
    startedAt: at,
    finishedAt: at,
    compression: 'gzip',
    level: 6,
    packing: 'test',
    sizeBytes: offset,
    sha256: digest(1),
    members,
    entries,
    files: entries,
    sourceBytes: 0,
    reusedBytes: 0,
    socketsSkipped: 0,
    excluded: 0,
    warnings: { count: 0, samples: [] },
  };
  if (emptyFrame >= 0) frames.splice(emptyFrame % (frames.length + 1), 0, '');
  const bytes = Buffer.concat(frames.map(frame));
  const footer = Buffer.alloc(FOOTER_BYTES);
  footer.writeUInt32LE(FOOTER_MAGIC, 0);
  footer.writeUInt32LE(8, 4);
  footer.writeBigUInt64LE(BigInt(bytes.length), 8);
  fs.writeFileSync(
    `${archive}.manifest`,
    Buffer.concat([bytes, frame(`${JSON.stringify({ summary })}\n`), footer]),
  );
  fs.writeFileSync(archive, Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), Buffer.alloc(offset - 3)]));
  return archive;
}

function frame(text: string): Buffer {
  return zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
}
