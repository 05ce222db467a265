/** Which packs go on being used, and which ones are left to die: their living rest is stored again. */

/** What the next archive uses of a pack. */
export interface PackUse {
  readonly pack: string;
  readonly usedBytes: number;
  readonly sizeBytes: number;
}

/** Only a pack that is used by less than this is left to die. */
const KEPT_SHARE = 1 / 2;
/** What rests may add to a copy, as a share of the members that it stores anyway. */
const ADDED_SHARE = 1 / 20;
/** More than this must not be dead of all packs together: rests are stored again then, whatever they add. */
const DEAD_SHARE = 1 / 4;

/**
 * Without the budget, a small change that happens to hit the better half of a pack would store the other half as well.
 * @param newBytes bytes of the members that no pack has
 */
export function packsToKeep(uses: readonly PackUse[], newBytes: number): ReadonlySet<string> {
  const kept = new Set(uses.map(({ pack }) => pack));
  let stored = 0;
  let dead = 0;
  for (const { usedBytes, sizeBytes } of uses) {
    stored += sizeBytes;
    dead += Math.max(0, sizeBytes - usedBytes);
  }
  let budget = newBytes * ADDED_SHARE;
  const candidates = uses
    .filter(({ usedBytes, sizeBytes }) => usedBytes < sizeBytes * KEPT_SHARE)
    .sort((a, b) => a.usedBytes / a.sizeBytes - b.usedBytes / b.sizeBytes);
  for (const { pack, usedBytes, sizeBytes } of candidates) {
    if (usedBytes > budget && dead <= stored * DEAD_SHARE) continue;
    kept.delete(pack);
    budget -= usedBytes;
    dead -= sizeBytes - usedBytes;
    stored -= sizeBytes - usedBytes;
  }
  return kept;
}
