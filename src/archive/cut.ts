import type { ByteString } from './byte-string.ts';
import type { Found } from './walk.ts';

/**
 * Rules by which entries become members and bytes. Archives made under other rules are not reused:
 * change the name whenever the same source would give other members or other tar bytes.
 */
export const PACKING = 'names-16/large-4MiB/1';

/** Larger files get members of their own, each of this many bytes. */
export const PART_BYTES = 4 * 1024 * 1024;

const MEAN_ENTRIES = 16;
const MIN_ENTRIES = 4;
const MAX_ENTRIES = 64;
const MAX_GROUP_BYTES = 1024 * 1024;

export type Unit =
  | { readonly kind: 'group'; readonly items: readonly Found[] }
  | { readonly kind: 'large'; readonly item: Found };

/**
 * Cuts the walk into units. A cut falls behind a name by its hash, so that a file that comes or goes
 * changes the unit it lies in and leaves the others as they were; sizes only cap a unit.
 */
export function* cut(walk: Iterable<Found>): Generator<Unit> {
  let items: Found[] = [];
  let bytes = 0;
  for (const found of walk) {
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
    const atName = items.length >= MIN_ENTRIES && hash(entry.path) % MEAN_ENTRIES === 0;
    if (atName || items.length >= MAX_ENTRIES || bytes >= MAX_GROUP_BYTES) {
      yield { kind: 'group', items };
      items = [];
      bytes = 0;
    }
  }
  if (items.length > 0) yield { kind: 'group', items };
}

/** FNV-1a with a final mix. */
function hash(path: ByteString): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < path.length; i++) value = Math.imul(value ^ path.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (value ^ (value >>> 13)) >>> 0;
}
