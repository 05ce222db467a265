import { type ByteString, display } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { LiveEntry } from './live-tree.ts';

export type Aspect = 'type' | 'size' | 'link' | 'mode' | 'owner' | 'mtime' | 'xattrs';

/** What an entry on disk has otherwise than the archive recorded, in words. */
export interface Difference {
  readonly aspect: Aspect;
  readonly message: string;
}

/** Clocks of file systems tick coarsely (2 s at worst): a file written in the same tick as it was read looks the same. */
const TICK_NS = 2_000_000_000n;

/** Changes after this may have gone unnoticed by a backup that began then. Nanoseconds since the epoch. */
export function settledBefore(startedAt: string): bigint {
  return BigInt(Date.parse(startedAt)) * 1_000_000n - TICK_NS;
}

/** Whether a file is the very one that was archived, and was not changed since. */
export function isUnchanged(
  entry: Entry,
  live: Pick<LiveEntry, 'type' | 'size' | 'mtime' | 'ctime' | 'ino'>,
  settled: bigint,
): boolean {
  return (
    entry.type === 'file' &&
    live.type === 'file' &&
    entry.inconsistent === undefined &&
    live.size === entry.size &&
    live.mtime === entry.mtime &&
    live.ctime === entry.ctime &&
    live.ino === entry.ino &&
    BigInt(entry.ctime) < settled
  );
}

/** Compares everything but the content of files. A hard link is the same if it leads to the same file. */
export function differences(entry: Entry, live: LiveEntry): Difference[] {
  if (entry.type === 'hardlink') {
    if (live.isSameFile(entry.link!)) return [];
    return [{ aspect: 'link', message: `is no hard link to '${display(entry.link!)}'` }];
  }
  if (entry.type !== live.type) {
    return [{ aspect: 'type', message: `is a ${live.type}, not a ${entry.type}` }];
  }
  const found: Difference[] = [];
  const compare = (aspect: Aspect, what: string, recorded: unknown, actual: unknown) => {
    if (recorded !== actual) found.push({ aspect, message: `${what} is ${actual}, not ${recorded}` });
  };
  if (entry.type === 'file') compare('size', 'size', entry.size, live.size);
  if (entry.type === 'symlink') compare('link', 'link text', display(entry.link!), display(live.link()));
  else compare('mode', 'mode', octal(entry.mode), octal(live.mode));
  compare('owner', 'owner', `${entry.uid}:${entry.gid}`, `${live.uid}:${live.gid}`);
  compare('mtime', 'modification time', entry.mtime, live.mtime);
  return [...found, ...xattrDifferences(entry.xattrs ?? {}, live.xattrs())];
}

function xattrDifferences(
  recorded: Readonly<Record<string, string>>,
  actual: Readonly<Record<string, string>>,
): Difference[] {
  return [...new Set([...Object.keys(recorded), ...Object.keys(actual)])].flatMap((name) => {
    if (recorded[name] === actual[name]) return [];
    const what = `extended attribute ${display(name as ByteString, 80)}`;
    const how =
      actual[name] === undefined
        ? 'is missing'
        : recorded[name] === undefined
          ? 'is new'
          : 'has another value';
    return [{ aspect: 'xattrs' as const, message: `${what} ${how}` }];
  });
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}
