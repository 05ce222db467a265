import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type PackUse, packsToKeep } from './pack-turnover.ts';

const use = (pack: string, usedBytes: number): PackUse => ({ pack, usedBytes, sizeBytes: 100 });
const whole = (count: number) => Array.from({ length: count }, (_, index) => use(`w${index}`, 100));
const leftToDie = (uses: readonly PackUse[], newBytes: number) => {
  const kept = packsToKeep(uses, newBytes);
  return uses.map(({ pack }) => pack).filter((pack) => !kept.has(pack));
};

test.each<[what: string, uses: PackUse[], newBytes: number, dies: string[]]>([
  ['nothing is used', [], 100, []],
  ['all is alive', whole(3), 0, []],
  ['half of a pack is enough to keep it', [...whole(9), use('a', 50)], 1e9, []],
  ['a rest within the budget', [...whole(9), use('a', 49)], 49 * 20, ['a']],
  ['a rest beyond the budget', [...whole(9), use('a', 49)], 48 * 20, []],
  ['the deadest first', [...whole(9), use('a', 40), use('b', 10), use('c', 40)], 50 * 20, ['a', 'b']],
  [
    'a smaller rest after one that is too large',
    [...whole(19), use('a', 40), { ...use('b', 9), sizeBytes: 20 }],
    180,
    ['b'],
  ],
  ['too much is dead: no budget is asked', [use('w', 100), use('a', 10)], 0, ['a']],
  ['no more than needed is stored again', [...whole(4), use('a', 10), use('b', 49), use('c', 49)], 0, ['a']],
])('%s', (_what, uses, newBytes, dies) => {
  expect(leftToDie(uses, newBytes).sort()).toEqual(dies.sort());
});

const uses = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 0, max: 1, noNaN: true })), {
    maxLength: 40,
  })
  .map((all) =>
    all.map(([sizeBytes, share], index) => ({
      pack: `${index}`,
      sizeBytes,
      usedBytes: Math.floor(sizeBytes * share),
    })),
  );

test('what is kept is mostly alive, or nothing of it is half dead; what is added is bounded', () => {
  fc.assert(
    fc.property(uses, fc.nat(10_000), (all, newBytes) => {
      const kept = packsToKeep(all, newBytes);
      const rests = all.filter(({ pack }) => !kept.has(pack));
      const sum = (some: readonly PackUse[], of: (one: PackUse) => number) =>
        some.reduce((total, one) => total + of(one), 0);
      const added = sum(rests, ({ usedBytes }) => usedBytes);
      const keptUses = all.filter(({ pack }) => kept.has(pack));
      // The rests lie in new packs, all alive.
      const stored = sum(keptUses, ({ sizeBytes }) => sizeBytes) + added;
      const dead = sum(keptUses, ({ sizeBytes, usedBytes }) => sizeBytes - usedBytes);
      const halfDead = keptUses.filter(({ usedBytes, sizeBytes }) => usedBytes < sizeBytes / 2);
      expect(rests.every(({ usedBytes, sizeBytes }) => usedBytes < sizeBytes / 2)).toBe(true);
      if (halfDead.length > 0) expect(dead).toBeLessThanOrEqual(stored / 4 + 1e-6);
      const isMostlyAlive =
        4 * sum(all, ({ sizeBytes, usedBytes }) => sizeBytes - usedBytes) <=
        sum(all, ({ sizeBytes }) => sizeBytes);
      if (isMostlyAlive) expect(added).toBeLessThanOrEqual(newBytes / 20 + 1e-6);
    }),
  );
});
