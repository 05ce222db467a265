/** How one entry differs between two archives. Pure. */
import type { Entry } from '../format/entry.ts';
import type { Aspect as EntryAspect } from '../restore/compare-entry.ts';

export type Aspect = EntryAspect | 'content' | 'device';

export interface Recorded {
  readonly entry: Entry;
  /** Of a file without a digest of its own: one digest for the digests of its slices. */
  readonly parts?: string | undefined;
}

export interface Comparison {
  /** `changed`: other content or another type. `metadata`: anything else that a restore brings back. */
  readonly change: 'changed' | 'metadata';
  readonly aspects: readonly Aspect[];
}

/**
 * Compares what a restore of either archive would make. Inode numbers, ctime, and the mtime of directories do not
 * count: the first two cannot be restored, and the third follows from what was added and removed.
 *
 * @param byTime Where an archive has no manifest there are no digests: files of one size and mtime count as the same.
 * @returns Undefined if there is no difference.
 */
export function compareEntries(before: Recorded, after: Recorded, byTime: boolean): Comparison | undefined {
  const [a, b] = [before.entry, after.entry];
  const sameTime = isSameTime(a.mtime, b.mtime, byTime);
  if (a.type !== b.type && !isSameInode(a, b)) return { change: 'changed', aspects: ['type'] };
  const aspects: Aspect[] = [];
  if (a.type === 'file' && b.type === 'file') {
    if (a.size !== b.size) aspects.push('size');
    else if (!isSameContent(before, after, sameTime)) aspects.push('content');
  }
  const isChanged = aspects.length > 0;
  if (a.type !== b.type || a.link !== b.link) aspects.push('link');
  if (a.mode !== b.mode) aspects.push('mode');
  if (a.uid !== b.uid || a.gid !== b.gid) aspects.push('owner');
  if (!sameTime && a.type !== 'directory') aspects.push('mtime');
  if (!isSameRecord(a.xattrs, b.xattrs)) aspects.push('xattrs');
  if (a.device?.[0] !== b.device?.[0] || a.device?.[1] !== b.device?.[1]) aspects.push('device');
  if (aspects.length === 0) return undefined;
  return { change: isChanged ? 'changed' : 'metadata', aspects };
}

/**
 * Which name of a hard-linked file holds the content depends on which names exist. So a name that was a link and now
 * holds the content, or the other way round, is the same file as long as it is the same inode, not written since.
 */
function isSameInode(a: Entry, b: Entry): boolean {
  const types = new Set([a.type, b.type]);
  return (
    types.has('file') && types.has('hardlink') && a.ino !== '0' && a.ino === b.ino && a.mtime === b.mtime
  );
}

function isSameContent(a: Recorded, b: Recorded, sameTime: boolean): boolean {
  const [one, other] = [a.entry.sha256, b.entry.sha256];
  if (one !== undefined && other !== undefined) return one === other;
  if (a.parts !== undefined && b.parts !== undefined && isSameMap(a.entry, b.entry))
    return a.parts === b.parts;
  return sameTime;
}

/** The slices of a sparse file hold its map of holes too, so they tell nothing about files with other holes. */
function isSameMap(a: Entry, b: Entry): boolean {
  return JSON.stringify(a.extents) === JSON.stringify(b.extents);
}

const NS_DIGITS = 9;

/** A tar of another program often has whole seconds only. */
function isSameTime(a: string, b: string, coarse: boolean): boolean {
  if (a === b) return true;
  if (!coarse || !(isWholeSecond(a) || isWholeSecond(b))) return false;
  return secondOf(a) === secondOf(b);
}

function isWholeSecond(time: string): boolean {
  return time === '0' || time.endsWith('0'.repeat(NS_DIGITS));
}

function secondOf(time: string): bigint {
  const ns = BigInt(time);
  const rest = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return (ns - rest) / 1_000_000_000n;
}

type TextRecord = Readonly<Record<string, string>>;

function isSameRecord(a: TextRecord | undefined, b: TextRecord | undefined): boolean {
  if (a === b) return true;
  const [one, other] = [a ?? {}, b ?? {}];
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => one[name] === other[name]);
}
