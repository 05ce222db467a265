import { isDeepStrictEqual } from 'node:util';
import { ArchiveError } from '../errors.ts';
import { display } from './byte-string.ts';
import type { Entry } from './entry.ts';
import type { Member } from './manifest.ts';
import { BLOCK, encodeHeader, encodeSparseMap, packedSize, padded } from './tar-header.ts';
import { TarReader } from './tar-reader.ts';

/**
 * The packed bytes of each entry of a member (not a `part`); undefined for entries whose content is elsewhere, or that
 * have none.
 * @throws {ArchiveError} ArchiveCorrupt when the headers differ from the manifest.
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
      throw mismatch(member, `the header of ${display(entry.path)} differs from the manifest`);
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

/** Length of the header at `at` in bytes; undefined if it does not describe this entry. */
function headerLength(raw: Buffer, at: number, entry: Entry): number | undefined {
  const header = encodeHeader(entry);
  if (raw.subarray(at, at + header.length).equals(header)) return header.length;
  // Another version of km-backup may have encoded the same fields differently.
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

/** Whether two entries agree in every field that a tar header holds. */
function sameEntry(one: Entry, other: Entry): boolean {
  const headerFields = ({
    path,
    type,
    mode,
    uid,
    gid,
    size,
    mtime,
    link,
    extents,
    xattrs,
    device,
  }: Entry) => [
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
  return isDeepStrictEqual(headerFields(one), headerFields(other));
}

export function mismatch(member: Member, what: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `member at offset ${member.offset}: ${what}`);
}
