import type { ByteString } from '../format/byte-string.ts';
import type { Found } from './walk.ts';

/**
 * Rules by which entries become members and bytes. Archives made under other rules are not reused:
 * change the name whenever the same source would give other members or other tar bytes.
 */
export const PACKING = 'minima-15/large-4MiB-aligned/3';

/**
 * Larger files get members of their own, each of this many bytes. They begin and end on blocks of the archive, so
 * that later archives can share them.
 */
export const PART_BYTES = 4 * 1024 * 1024;

/**
 * A cut falls behind each name whose hash is the least among this many names before and after it. So a name
 * that comes or goes moves only cuts that near to it, and units hold 16 entries to a few dozen, 31 on average:
 * fewer compress worse, more make a repeat run pack more that did not change.
 */
const REACH = 15;
const MAX_GROUP_BYTES = 256 * 1024;

export type Unit =
  | { readonly kind: 'group'; readonly items: readonly Found[] }
  | { readonly kind: 'large'; readonly item: Found };

/** Cuts the walk into units by the entries' names alone; sizes only cap a unit. */
export function* cut(walk: Iterable<Found>): Generator<Unit> {
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

/** The walk, REACH entries late, with whether a name's hash is below all of the REACH ones on either side. */
function* localMinima(walk: Iterable<Found>): Generator<{ found: Found; isMinimum: boolean }> {
  /** Around the entry to tell of next: up to REACH told, then those that wait. */
  const near: { found: Found; hash: number }[] = [];
  let told = 0;
  const tell = () => {
    const { found, hash } = near[told]!;
    // The first of equals counts.
    const isMinimum = near.every(
      (other, at) => at === told || (at < told ? other.hash > hash : other.hash >= hash),
    );
    if (told < REACH) told++;
    else near.shift();
    return { found, isMinimum };
  };
  for (const found of walk) {
    near.push({ found, hash: hashOf(found.entry.path) });
    if (near.length > told + REACH) yield tell();
  }
  while (told < near.length) yield tell();
}

/** FNV-1a with a final mix. */
function hashOf(path: ByteString): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) value = Math.imul(value ^ path.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}
