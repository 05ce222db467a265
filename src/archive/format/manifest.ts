import type { Entry } from './entry.ts';
import type { Compression } from './names.ts';

/*
 * A manifest is a sequence of zstd frames with lines of JSON, which `zstd -dc` prints. Each member of the archive has
 * a member line, followed by one line for each entry whose header is in that member. The summary comes last, in its
 * own frame. A skippable frame at the very end holds the offset of the summary's frame, so a listing reads two blocks
 * however many entries there are.
 */

/**
 * What a member's tar bytes are:
 * - `group`: whole entries, one after the other;
 * - `header`: the header of one large file, whose data follows in `part` members;
 * - `part`: a slice of that file's data; the last slice is padded to 512 bytes;
 * - `end`: the two zero blocks that end a tar.
 */
export type MemberKind = 'group' | 'header' | 'part' | 'end';

/** One independently compressed piece of the archive: a gzip member or a zstd frame. */
export interface Member {
  readonly kind: MemberKind;
  /** Offset of the compressed bytes in the archive file. */
  readonly offset: number;
  readonly size: number;
  /** Length of the tar bytes inside. */
  readonly rawSize: number;
  /** Hex digest of the compressed bytes. */
  readonly sha256: string;
  /** Hex digest of the tar bytes; `part` members only. */
  readonly rawSha256?: string;
}

/** A member and the lines of its entries, exactly as in the manifest, without newlines. */
export interface MemberLines {
  readonly member: Member;
  readonly lines: readonly string[];
}

export interface MemberEntries {
  readonly member: Member;
  readonly entries: readonly Entry[];
  /** The entries' lines exactly as in the manifest, each with its newline. */
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
  /** Version of the rules by which entries become bytes. Members are reused only if it is the same. */
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

/** Largest number of tar bytes in a member, and largest size of a file that has its own digest. */
export const MAX_MEMBER_BYTES = 64 * 1024 * 1024;

export const FRAME_BYTES = 512 * 1024;
export const FOOTER_BYTES = 16;
export const FOOTER_MAGIC = 0x184d2a5b;
