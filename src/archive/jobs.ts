import type { Entry } from './manifest.ts';
import { sha256Hex } from './members.ts';
import { withRoom } from './memory.ts';
import {
  type GroupItem,
  type PackedGroup,
  type PackedMember,
  type PackSettings,
  packGroup,
  packRaw,
} from './pack-member.ts';
import { type Restored, type RestoreJob, restoreMembers } from './restore-member.ts';
import { readPacked } from './source-file.ts';
import { padded } from './tar-header.ts';
import { type VerifyJob, verifyMembers } from './verify-members.ts';

/** A slice of one large file's packed bytes. `fd` is open in this process, whichever thread uses it. */
export interface PartJob {
  readonly kind: 'part';
  readonly fd: number;
  readonly entry: Entry;
  readonly start: number;
  readonly length: number;
  /** Digest of the same slice in the previous archive: no need to compress what has it. */
  readonly known: string | undefined;
  readonly settings: PackSettings;
}

export interface PackedPart {
  readonly rawSha256: string;
  readonly complete: boolean;
  /** Undefined where the slice has the known digest. */
  readonly member: PackedMember | undefined;
}

export interface GroupJob {
  readonly kind: 'group';
  readonly items: readonly GroupItem[];
  readonly settings: PackSettings;
}

export type Job = PartJob | GroupJob | VerifyJob | RestoreJob;
export type ResultOf<J extends Job> = J extends PartJob
  ? PackedPart
  : J extends GroupJob
    ? PackedGroup
    : J extends RestoreJob
      ? Restored
      : null;

export function runJob<J extends Job>(job: J): ResultOf<J>;
export function runJob(job: Job): PackedPart | PackedGroup | Restored | null {
  switch (job.kind) {
    case 'group':
      return packGroup(job.items, job.settings);
    case 'part':
      return packPart(job);
    case 'verify':
      verifyMembers(job);
      return null;
    case 'restore':
      return restoreMembers(job);
  }
}

/** Of this thread, used again from slice to slice. */
let slice = Buffer.alloc(0);

function packPart({ fd, entry, start, length, known, settings }: PartJob): PackedPart {
  const size = padded(length);
  slice = withRoom(slice, size);
  const raw = slice.subarray(0, size).fill(0);
  const complete = readPacked(fd, entry, raw, 0, start, length);
  const rawSha256 = sha256Hex(raw);
  return { rawSha256, complete, member: rawSha256 === known ? undefined : packRaw(raw, settings, 0) };
}
