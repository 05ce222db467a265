import { closeSync } from 'node:fs';
import { display } from '../format/byte-string.ts';
import { contentDigest } from '../format/content-digest.ts';
import type { Entry } from '../format/entry.ts';
import { parseLines } from '../format/entry-line.ts';
import type { Member } from '../format/manifest.ts';
import { contentsOf, mismatch } from '../format/member-contents.ts';
import { readCompressedMember, readMember, sha256Hex } from '../format/members.ts';
import type { Compression } from '../format/names.ts';
import { openFile } from '../format/open-file.ts';

/** Members to compare with what the manifest says about them. */
export interface VerifyJob {
  readonly path: string;
  /** `lines`: the manifest's lines for the entries, used only when `deep` is set. */
  readonly members: readonly { readonly member: Member; readonly lines: string }[];
  readonly compression: Compression;
  /** Decompress, and compare each header and content. Otherwise only the digests of the compressed bytes are compared. */
  readonly deep: boolean;
}

/** @throws {ArchiveError} ArchiveCorrupt at the first member that differs from its record. */
export function verifyMembers({ path, members, compression, deep }: VerifyJob): null {
  const fd = openFile(path);
  try {
    for (const { member, lines } of members) {
      if (deep) verifyContent(readMember(fd, member, compression), member, parseLines(lines, path));
      else readCompressedMember(fd, member);
    }
  } finally {
    closeSync(fd);
  }
  return null;
}

/** The tar bytes of a member must be exactly its entries, including their contents. */
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
