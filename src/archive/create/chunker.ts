import type { ByteString } from '../format/byte-string.ts';
import type { Found } from './walk.ts';

/**
 * Names the rules that turn entries into members and bytes. An archive made under other rules is not reused, so
 * change this whenever the same source would give other members or other tar bytes.
 */
export const PACKING = 'minima-15/large-4MiB-aligned/3';

/**
 * Larger files get members of their own, one for each slice of this size. These begin and end on block boundaries
 * of the archive, so that later archives can share the blocks.
 */
export const PART_BYTES = 4 * 1024 * 1024;

/**
 * A unit ends after each name whose hash is smaller than the hashes of this many names before and after it. Adding
 * or removing a name therefore moves only nearby boundaries. Units hold 16 to a few dozen entries, 31 on average:
 * smaller ones compress worse, and larger ones make a repeat run pack more that did not change.
 */
const REACH = 15;
const MAX_GROUP_BYTES = 256 * 1024;

export type Unit =
  | { readonly kind: 'group'; readonly items: readonly Found[] }
  | { readonly kind: 'large'; readonly item: Found };

/** Splits the walk into units. Boundaries depend on the entries' names alone; sizes only cap a unit. */
export function* splitIntoUnits(walk: Iterable<Found>): Generator<Unit> {
  let items: Found[] = [];
  let bytes = 0;
  for (const { found, isMinimum } of localMinima(walk)) {
    const { entry } = found;
    if (entry.type === 'file' && entry.size > PART_BYTES) {
      if (items.length > 0) yield { kind: 'group', items };
      items = [];
      bytes = 0;
      yield { kind: 'large', item: found };
      continue;
    }
    items.push(found);
    bytes += entry.size;
    if (isMinimum || bytes >= MAX_GROUP_BYTES) {
      yield { kind: 'group', items };
      items = [];
      bytes = 0;
    }
  }
  if (items.length > 0) yield { kind: 'group', items };
}

/** Yields each entry with whether its name's hash is a local minimum (window: REACH entries on each side). */
function* localMinima(walk: Iterable<Found>): Generator<{ found: Found; isMinimum: boolean }> {
  const window: { found: Found; hash: number }[] = [];
  /** Index in the window of the entry to yield next. Up to REACH yielded entries come before it. */
  let current = 0;
  const judge = () => {
    const { found, hash } = window[current]!;
    // Of equal hashes the first one counts.
    const isMinimum = window.every(
      (other, at) => at === current || (at < current ? other.hash > hash : other.hash >= hash),
    );
    if (current < REACH) current++;
    else window.shift();
    return { found, isMinimum };
  };
  for (const found of walk) {
    window.push({ found, hash: hashOf(found.entry.path) });
    if (window.length > current + REACH) yield judge();
  }
  while (current < window.length) yield judge();
}

/** FNV-1a with a final mix. */
function hashOf(path: ByteString): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) value = Math.imul(value ^ path.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}
