import type { Entry } from './entry.ts';
import type { Compression } from './names.ts';

/*
 * A manifest is a row of zstd frames holding lines of JSON: for each member of the archive a member line,
 * then one line for each entry whose header lies in that member, and at the end the summary in a frame of
 * its own. A skippable frame at the very end tells where the summary's frame starts, so that a listing
 * reads two blocks whatever the number of entries. `zstd -dc` prints it all.
 */

/**
 * What a member's tar bytes are:
 * - `group`: whole entries, one after the other;
 * - `header`: the header of one large file, whose data follow in `part` members;
 * - `part`: a slice of that file's data, the last one padded to 512 bytes;
 * - `end`: the two zero blocks that end a tar.
 */
export type MemberKind = 'group' | 'header' | 'part' | 'end';

/** One independently compressed piece of the archive: a gzip member or a zstd frame. */
export interface Member {
  readonly kind: MemberKind;
  /** Place of the compressed bytes in the archive file. */
  readonly offset: number;
  readonly size: number;
  /** Length of the tar bytes inside. */
  readonly rawSize: number;
  /** Hex digest of the compressed bytes. */
  readonly sha256: string;
  /** Hex digest of the tar bytes; `part` members only. */
  readonly rawSha256?: string;
}

/** A member and its entries' lines as they stand in the manifest, without newlines. */
export interface MemberLines {
  readonly member: Member;
  readonly lines: readonly string[];
}

export interface MemberEntries {
  readonly member: Member;
  readonly entries: readonly Entry[];
  /** The entries' lines as they stand in the manifest, each with its newline. */
  readonly lines: string;
}

export interface Summary {
  readonly format: 1;
  /** File name of the archive. */
  readonly archive: string;
  readonly series: string | null;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly compression: Compression;
  readonly level: number;
  /** Rules by which entries become bytes; members are reused only under the same rules. */
  readonly packing: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly members: number;
  readonly entries: number;
  readonly files: number;
  readonly sourceBytes: number;
  readonly reusedBytes: number;
  readonly socketsSkipped: number;
  readonly excluded: number;
  readonly warnings: { readonly count: number; readonly samples: readonly string[] };
}

/** No member holds more tar bytes than this, nor has a file of more than this a digest of its own. */
export const MAX_MEMBER_BYTES = 64 * 1024 * 1024;

export const FRAME_BYTES = 512 * 1024;
export const FOOTER_BYTES = 16;
export const FOOTER_MAGIC = 0x184d2a5b;
