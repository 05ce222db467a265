import { createHash } from 'node:crypto';
import type { Entry } from './entry.ts';
import { sha256Hex } from './members.ts';

const zeros = Buffer.alloc(1 << 20);

/**
 * SHA-256 of a file's content as its readers see it: holes of a sparse file count as zeros.
 * @param packed What the tar holds of the file; for a sparse file, its map and extents.
 */
export function contentDigest(entry: Entry, packed: Uint8Array): string {
  if (!entry.extents) return sha256Hex(packed);
  const hash = createHash('sha256');
  const dataLength = entry.extents.reduce((sum, [, length]) => sum + length, 0);
  let taken = packed.length - dataLength;
  let position = 0;
  const hole = (until: number) => {
    while (position < until) {
      const count = Math.min(zeros.length, until - position);
      hash.update(zeros.subarray(0, count));
      position += count;
    }
  };
  for (const [offset, length] of entry.extents) {
    hole(offset);
    hash.update(packed.subarray(taken, taken + length));
    taken += length;
    position = offset + length;
  }
  hole(entry.size);
  return hash.digest('hex');
}
