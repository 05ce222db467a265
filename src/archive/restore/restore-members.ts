import fs from 'node:fs';
import type { ByteString } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { parseCheckedLines } from '../format/entry-line.ts';
import type { Member } from '../format/manifest.ts';
import { contentsOf } from '../format/member-contents.ts';
import { readMember } from '../format/members.ts';
import type { Compression } from '../format/names.ts';
import { encodeSparseMap, packedSize } from '../format/tar-header.ts';
import { isSkipped, type RestorePolicy, withoutPrivileges } from './entry-gate.ts';
import { Reuse, type ReuseSettings } from './reuse.ts';
import { TreeWriter, writeAll } from './tree-writer.ts';

/** Members to check and, if `root` is given, to write below it. Their directories exist already. */
export interface RestoreJob {
  readonly path: string;
  readonly compression: Compression;
  readonly members: readonly RestoreMember[];
  /** Undefined: check only. */
  readonly root: string | undefined;
  readonly policy: RestorePolicy;
  readonly owner: boolean;
  /** Undefined: unpack every file. */
  readonly reuse?: ReuseSettings | undefined;
}

export interface RestoreMember {
  readonly member: Member;
  /** The entries' lines of the manifest, which were checked when it was validated. */
  readonly lines: string;
  /** For a `part`: the file that it belongs to (created before), and where its slice starts in the packed bytes. */
  readonly part?: { readonly entry: Entry; readonly start: number };
}

export interface Restored {
  /** Bytes of files that were taken over from the live tree without being written. */
  readonly reusedBytes: number;
  readonly warnings: readonly { readonly path: ByteString; readonly message: string }[];
}

/**
 * Checks members and writes their files.
 *
 * @throws {ArchiveError} ArchiveCorrupt at the first member that differs from its record, before it is written.
 */
export function restoreMembers(job: RestoreJob): Restored {
  const { path, compression, members, root, policy, owner } = job;
  const warnings: { path: ByteString; message: string }[] = [];
  const fd = fs.openSync(path, 'r');
  using writer =
    root === undefined
      ? undefined
      : new TreeWriter(root, {
          owner,
          warn: (at, message) => warnings.push({ path: at, message }),
        });
  using reuse = writer && job.reuse && new Reuse(job.reuse, writer);
  try {
    for (const { member, lines, part } of members) {
      const entries = parseCheckedLines(lines);
      const reused = reuse ? reuseFiles(reuse, entries, policy) : nothing;
      if (reused.size > 0 && entries.every((entry) => reused.has(entry) || !hasContent(entry))) continue;
      const raw = readMember(fd, member, compression);
      // The digest of the compressed bytes was compared, so the contents' own digests would add nothing.
      if (member.kind === 'part') {
        if (writer && part) writePart(writer, part.entry, raw, part.start);
      } else {
        const contents = contentsOf(raw, member, entries);
        if (writer) writeFiles(writer, entries, contents, reused, policy);
      }
    }
  } finally {
    fs.closeSync(fd);
  }
  return { warnings, reusedBytes: reuse?.bytes ?? 0 };
}

const nothing: ReadonlySet<Entry> = new Set();

/** @returns The files that need not be unpacked. */
function reuseFiles(reuse: Reuse, entries: readonly Entry[], policy: RestorePolicy): ReadonlySet<Entry> {
  return new Set(
    entries.filter(
      (entry) =>
        hasContent(entry) && !isSkipped(entry) && reuse.take(entry, withoutPrivileges(entry, policy)),
    ),
  );
}

/** Whether the member that lists an entry has its content. */
function hasContent({ type, parts }: Entry): boolean {
  return type === 'file' && parts === undefined;
}

function writeFiles(
  writer: TreeWriter,
  entries: readonly Entry[],
  contents: readonly (Buffer | undefined)[],
  reused: ReadonlySet<Entry>,
  policy: RestorePolicy,
): void {
  entries.forEach((entry, index) => {
    const content = contents[index];
    if (!content || isSkipped(entry) || reused.has(entry)) return;
    const fd = writer.create(entry.path);
    try {
      writePacked(fd, entry, content, 0);
      if (entry.extents) fs.ftruncateSync(fd, entry.size);
      writer.finishFile(withoutPrivileges(entry, policy), fd);
    } finally {
      fs.closeSync(fd);
    }
  });
}

function writePart(writer: TreeWriter, entry: Entry, raw: Buffer, start: number): void {
  const fd = writer.reopen(entry.path);
  try {
    writePacked(fd, entry, raw.subarray(0, Math.max(0, packedSize(entry) - start)), start);
  } finally {
    fs.closeSync(fd);
  }
}

/** Writes a slice of a file's packed bytes (see packedSize), starting at `start`, to its places in the file. */
export function writePacked(fd: number, entry: Entry, slice: Buffer, start: number): void {
  if (!entry.extents) {
    if (slice.length > 0) writeAll(fd, slice, start);
    return;
  }
  let position = encodeSparseMap(entry.extents, entry.size).length;
  for (const [offset, length] of entry.extents) {
    const from = Math.max(start, position);
    const to = Math.min(start + slice.length, position + length);
    if (to > from) writeAll(fd, slice.subarray(from - start, to - start), offset + from - position);
    position += length;
  }
}
