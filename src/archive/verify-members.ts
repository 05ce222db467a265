import { closeSync, openSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { display } from './byte-string.ts';
import { contentDigest } from './content-digest.ts';
import { ArchiveError } from './errors.ts';
import type { Compression } from './managed-name.ts';
import { type Entry, type Member, parseLines } from './manifest.ts';
import { readCompressedMember, readMember, sha256Hex } from './members.ts';
import { TarReader } from './restore-tar.ts';
import { BLOCK, encodeHeader, encodeSparseMap, packedSize, padded } from './tar-header.ts';

/** Compares members with what the manifest says of them. */
export interface VerifyJob {
  readonly kind: 'verify';
  readonly path: string;
  /** `lines`: the entries' lines of the manifest; looked at only for `deep`. */
  readonly members: readonly { readonly member: Member; readonly lines: string }[];
  readonly compression: Compression;
  /** Decompress, and compare each header and each content; else the compressed bytes with their digest. */
  readonly deep: boolean;
}

/** Throws `ArchiveCorrupt` at the first member that is not as recorded. */
export function verifyMembers({ path, members, compression, deep }: VerifyJob): void {
  const fd = openSync(path, 'r');
  try {
    for (const { member, lines } of members) {
      if (deep) verifyContent(readMember(fd, member, compression), member, parseLines(lines, path));
      else readCompressedMember(fd, member);
    }
  } finally {
    closeSync(fd);
  }
}

/** The tar bytes of a member must be those that its entries give, contents included. */
function verifyContent(raw: Buffer, member: Member, entries: readonly Entry[]): void {
  if (member.kind === 'part') {
    if (sha256Hex(raw) !== member.rawSha256) throw mismatch(member, 'its content does not match its digest');
    return;
  }
  contentsOf(raw, member, entries).forEach((content, index) => {
    const entry = entries[index]!;
    if (content && entry.sha256 === undefined) throw mismatch(member, `${display(entry.path)} has no digest`);
    if (content && contentDigest(entry, content) !== entry.sha256) {
      throw mismatch(member, `the content of ${display(entry.path)} does not match its digest`);
    }
  });
}

/**
 * The packed bytes of each file that lies whole in a member that is no `part`; undefined for all other
 * entries. The headers between them must say what the manifest says. Throws `ArchiveCorrupt`.
 */
export function contentsOf(
  raw: Buffer,
  member: Member,
  entries: readonly Entry[],
): readonly (Buffer | undefined)[] {
  let at = 0;
  const contents = entries.map((entry) => {
    const header = headerLength(raw, at, entry);
    if (header === undefined) {
      throw mismatch(member, `the header of ${display(entry.path)} is not as the manifest says`);
    }
    at += header;
    if (entry.type !== 'file' || entry.parts !== undefined) return undefined;
    const size = packedSize(entry);
    const content = raw.subarray(at, at + size);
    if (content.length !== size) throw mismatch(member, `it ends within ${display(entry.path)}`);
    at += padded(size);
    return content;
  });
  if (member.kind === 'end' ? raw.some((byte) => byte !== 0) : at !== raw.length) {
    throw mismatch(member, 'it holds more than the manifest says');
  }
  return contents;
}

/** Bytes of the header of this entry at a place in the tar; undefined where what is there says something else. */
function headerLength(raw: Buffer, at: number, entry: Entry): number | undefined {
  const header = encodeHeader(entry);
  if (raw.subarray(at, at + header.length).equals(header)) return header.length;
  // Other versions may put the same into other bytes.
  const other = readHeader(raw, at);
  return other && sameEntry(other.entry, entry) ? other.length : undefined;
}

function readHeader(raw: Buffer, at: number): { entry: Entry; length: number } | undefined {
  let found: Entry | undefined;
  const reader = new TarReader({
    entry: (entry) => {
      found = entry;
    },
    data: () => {},
    endEntry: () => {},
  });
  let end = at;
  try {
    for (; !found && end + BLOCK <= raw.length; end += BLOCK) reader.push(raw.subarray(end, end + BLOCK));
  } catch {
    return undefined;
  }
  if (!found) return undefined;
  // A sparse file's map counts as content.
  const map = found.extents ? encodeSparseMap(found.extents, found.size).length : 0;
  return { entry: found, length: end - at - map };
}

/** In all that a tar holds of an entry. */
function sameEntry(one: Entry, other: Entry): boolean {
  const told = ({ path, type, mode, uid, gid, size, mtime, link, extents, xattrs, device }: Entry) => [
    path,
    type,
    mode,
    uid,
    gid,
    size,
    BigInt(mtime).toString(),
    link,
    extents,
    Object.entries(xattrs ?? {}).sort(),
    device,
  ];
  return isDeepStrictEqual(told(one), told(other));
}

function mismatch(member: Member, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `member at offset ${member.offset}: ${what}`);
}
