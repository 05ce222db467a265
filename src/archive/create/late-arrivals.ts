import { closeSync, constants } from 'node:fs';
import { openAt, openBeneath } from '../../posix/beneath.ts';
import { namesIn } from '../../posix/directory-names.ts';
import { changeTimeAt, type FileStatus, statusAt, statusOfOpen } from '../../posix/status.ts';
import { isSystemError } from '../../posix/system-error.ts';
import { type ByteString, display, join } from '../format/byte-string.ts';
import type { Listing, ListingLog } from './listing-log.ts';
import type { Selection } from './selection.ts';
import { typeOf } from './walk.ts';
import type { Warn } from './warning.ts';

/** Clocks of file systems tick coarsely (2 s at worst): a later change may leave the same time. */
const TICK_NS = 2e9;

/** Times are compared as floating-point numbers. */
const ROUNDING_NS = 1024;

/** New directories below longer paths are not examined: only malice nests that deep. */
const DEEP = 4096;

const READ_DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

export interface LateArrivalOptions {
  readonly root: number;
  readonly listings: ListingLog;
  readonly selection: Selection;
  /** When the first directory was listed; a value of `realTime`. */
  readonly startedAt: number;
  readonly warn: Warn;
}

/**
 * Once everything was read, checks each directory again and names those into which something was moved after they
 * were listed. If it came from a directory that was listed later, no listing has it and the archive lacks it. A file
 * created during the run is not missing: a backup does not promise to capture any single moment.
 */
export function warnOfLateArrivals(options: LateArrivalOptions): void {
  const { root, listings, startedAt, warn } = options;
  const settledBefore = startedAt - TICK_NS;
  const isUnchanged = (path: Uint8Array, ctime: number) => {
    if (ctime >= settledBefore) return false;
    const now = changeTimeAt(root, path);
    return now !== undefined && Math.abs(now - ctime) < ROUNDING_NS;
  };
  for (const listing of listings.except(isUnchanged)) {
    try {
      const arrivals = arrivalsIn(options, listing);
      if (arrivals.length > 0) warn({ kind: 'moved', path: listing.path, message: describe(arrivals) });
    } catch (error) {
      // A directory that is gone or closed by now was listed before that.
      if (!isSystemError(error)) throw error;
    }
  }
}

/** Names of entries that are older than this run but were not in the directory when it was listed. */
function arrivalsIn(options: LateArrivalOptions, { path, inode, inodes }: Listing): ByteString[] {
  const fd = openBeneath(options.root, path, READ_DIRECTORY);
  try {
    const status = statusOfOpen(fd);
    // If another directory took the name, it is an arrival in the parent.
    return status.inodeTag === inode ? olderThanRun(options, fd, path, status, inodes) : [];
  } finally {
    closeSync(fd);
  }
}

function olderThanRun(
  options: LateArrivalOptions,
  fd: number,
  path: ByteString,
  status: FileStatus,
  known: ReadonlySet<number>,
): ByteString[] {
  const { selection, startedAt } = options;
  const names = namesIn(fd).names as ByteString[];
  const role = selection.roleOf(path, status, fd, names);
  if (role === 'destination') return [];
  const arrivals: ByteString[] = [];
  for (const name of names) {
    const child = join(path, name);
    const found = statusAt(fd, name);
    if (!found || known.has(found.inodeTag) || typeOf(found) === 'socket') continue;
    if (selection.isRestoreState(child) || selection.isDestination(found)) continue;
    if (selection.leavesOut(child, name, role, found)) continue;
    if (found.born === undefined || found.born <= startedAt) arrivals.push(name);
    else if (typeOf(found) === 'directory' && child.length < DEEP)
      arrivals.push(...insideNew(options, fd, name, child, found));
  }
  return arrivals;
}

/** A directory made during the run may still have taken in older files. */
function insideNew(
  options: LateArrivalOptions,
  parent: number,
  name: ByteString,
  path: ByteString,
  status: FileStatus,
): ByteString[] {
  const fd = openAt(parent, name, READ_DIRECTORY);
  try {
    return olderThanRun(options, fd, path, status, new Set()).map((each) => join(name, each));
  } finally {
    closeSync(fd);
  }
}

function describe(arrivals: readonly ByteString[]): string {
  const more = arrivals.length > 1 ? ` and ${arrivals.length - 1} more` : '';
  return `changed while the archive was made: ${display(arrivals[0]!, 100)}${more} moved into it after it was listed, and may be missing`;
}
