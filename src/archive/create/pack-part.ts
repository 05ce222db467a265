import type { Entry } from '../format/entry.ts';
import { sha256Hex } from '../format/members.ts';
import { withRoom } from '../format/memory.ts';
import { padded } from '../format/tar-header.ts';
import { type PackedMember, type PackSettings, packRaw } from './pack-member.ts';
import { readPacked } from './source-file.ts';

/** A slice of one large file's packed bytes. `fd` is open in this process, whichever thread uses it. */
export interface PartJob {
  readonly fd: number;
  readonly entry: Entry;
  readonly start: number;
  readonly length: number;
  /** Digest of the same slice in the previous archive. A slice with this digest is not compressed again. */
  readonly known: string | undefined;
  readonly settings: PackSettings;
}

export interface PackedPart {
  readonly rawSha256: string;
  readonly complete: boolean;
  /** Undefined where the slice has the known digest. */
  readonly member: PackedMember | undefined;
}

/** This thread's buffer, reused from slice to slice. */
let slice = Buffer.alloc(0);

export function packPart({ fd, entry, start, length, known, settings }: PartJob): PackedPart {
  const size = padded(length);
  slice = withRoom(slice, size);
  const raw = slice.subarray(0, size).fill(0);
  const complete = readPacked(fd, entry, raw, 0, start, length);
  const rawSha256 = sha256Hex(raw);
  return { rawSha256, complete, member: rawSha256 === known ? undefined : packRaw(raw, settings, 0) };
}
