import { isDeepStrictEqual } from 'node:util';
import { ArchiveError } from '../errors.ts';
import { display } from './byte-string.ts';
import type { Entry } from './entry.ts';
import type { Member } from './manifest.ts';
import { BLOCK, encodeHeader, encodeSparseMap, packedSize, padded } from './tar-header.ts';
import { TarReader } from './tar-reader.ts';

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

export function mismatch(member: Member, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `member at offset ${member.offset}: ${what}`);
}
