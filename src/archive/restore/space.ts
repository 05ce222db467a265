import fs from 'node:fs';
import path from 'node:path';
import { formatUnlike } from '../../log/units.ts';
import { ArchiveError } from '../errors.ts';
import { shown } from './failures.ts';
import type { Place } from './place.ts';

const BLOCK = 4096;

/** Free space of a file system, in bytes and inodes. */
export interface FreeSpace {
  /** Undefined when the file system does not report it. */
  readonly bytes: number | undefined;
  /** Undefined when the file system has no fixed number of inodes. */
  readonly inodes: number | undefined;
}

/**
 * Upper bound of the space that a restore takes in addition to the old state: the data, and a block for each
 * entry (the last block of a file is half empty on average, and a directory takes at least one).
 */
export function spaceNeeded(totals: { entries: number; impliedDirectories: number; dataBytes: number }): {
  bytes: number;
  inodes: number;
} {
  const entries = totals.entries + totals.impliedDirectories;
  return { bytes: totals.dataBytes + entries * BLOCK, inodes: entries + 8 };
}

/** What is missing, in words; undefined when there is enough. */
export function lackOfSpace(needed: { bytes: number; inodes: number }, free: FreeSpace): string | undefined {
  if (free.bytes !== undefined && needed.bytes > free.bytes) {
    const [wanted, there] = formatUnlike(needed.bytes, free.bytes);
    return `the restore needs about ${wanted} in addition to the old state, and ${there} are free`;
  }
  if (free.inodes !== undefined && needed.inodes > free.inodes) {
    return `the restore needs ${needed.inodes} inodes in addition to the old state, and ${free.inodes} are free`;
  }
  return undefined;
}

/** Free space of the file system that a restore writes to. */
export function freeSpace(place: Place): FreeSpace {
  const volume = fs.statfsSync(
    place.exists && place.kind === 'inside' ? place.target : path.dirname(place.target),
  );
  // Some file systems (ramfs, a few FUSE ones) report zeros.
  return {
    bytes: volume.blocks > 0 ? volume.bavail * volume.bsize : undefined,
    inodes: volume.files > 0 ? volume.ffree : undefined,
  };
}

/** @throws {ArchiveError} NoSpace when the file system of the target cannot hold both states. */
export function checkSpace(place: Place, totals: Parameters<typeof spaceNeeded>[0]): void {
  const lack = lackOfSpace(spaceNeeded(totals), freeSpace(place));
  if (lack === undefined) return;
  throw new ArchiveError(
    'NoSpace',
    `refused: ${lack} on the file system of ${shown(place.target)}. Nothing was changed. Free space, or restore elsewhere.`,
  );
}
