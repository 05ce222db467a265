import { createHmac, randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KnownMembers } from './known-members.ts';
import { IndexWriter, isOfSalt, MemberDigests, type PlacedMember, placedMembers } from './member-index.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const salt = Buffer.alloc(32, 7);
const member = fc.record({
  digest: fc.uint8Array({ minLength: 16, maxLength: 16 }),
  pack: fc.constantFrom('p', 'q', 'r'),
  offset: fc.nat(0xfffffffe),
  length: fc.integer({ min: 1, max: 0xffffffff }),
});

test('known members are a map from digest to the first place', () => {
  fc.assert(
    fc.property(fc.array(member, { maxLength: 3000 }), (members) => {
      const known = new KnownMembers();
      const model = new Map<string, PlacedMember>();
      for (const one of members) {
        known.add(one);
        const key = Buffer.from(one.digest).toString('hex');
        if (!model.has(key)) model.set(key, one);
      }
      expect(known.size).toBe(model.size);
      for (const { digest, pack, offset, length } of model.values())
        expect(known.get(digest)).toEqual({ pack, offset, length });
      expect(known.get(randomBytes(16))).toBeUndefined();
    }),
    { numRuns: 20 },
  );
});

test('a million members take at most 100 bytes each', () => {
  const heldBytes = () => {
    // Whatever earlier tests and smaller tables have left.
    collectGarbage();
    return process.memoryUsage().arrayBuffers;
  };
  const before = heldBytes();
  const known = new KnownMembers();
  const digest = Buffer.alloc(16);
  for (let at = 0; at < 1_000_000; at++) {
    digest.writeUInt32LE(Math.imul(at, 0x9e3779b1) >>> 0, 0);
    digest.writeUInt32LE(at, 4);
    known.add({ digest, pack: 'p', offset: at, length: 1 });
  }
  expect(known.size).toBe(1_000_000);
  expect(heldBytes() - before).toBeLessThan(100_000_000);
  digest.writeUInt32LE(Math.imul(999_999, 0x9e3779b1) >>> 0, 0);
  expect(known.get(digest)).toEqual({ pack: 'p', offset: 999_999, length: 1 });
});

test('index and list together say where each member is', () => {
  const index = new IndexWriter(salt);
  for (const [at, length] of [10, 20, 30].entries()) index.add(Buffer.alloc(16, at), length);
  const runs = [
    { pack: 'a', offset: 100, length: 30 },
    { pack: 'b', offset: 0, length: 30 },
  ];
  const places = [...placedMembers(index.bytes(), runs, 'x')].map(({ pack, offset, length }) => [
    pack,
    offset,
    length,
  ]);
  expect(places).toEqual([
    ['a', 100, 10],
    ['a', 110, 20],
    ['b', 0, 30],
  ]);
  expect(() => [...placedMembers(index.bytes(), runs.slice(0, 1), 'x')]).toThrow(/does not fit/);
  expect(() => [...placedMembers(index.bytes().subarray(0, -1), runs, 'x')]).toThrow(/not a valid index/);
});

test('another salt has other digests, and says so', () => {
  const other = Buffer.alloc(32, 8);
  const index = new IndexWriter(salt).bytes();
  expect([isOfSalt(index, salt), isOfSalt(index, other)]).toEqual([true, false]);
  const sha = 'ab'.repeat(32);
  expect(new MemberDigests(salt).of(sha).equals(new MemberDigests(other).of(sha))).toBe(false);
});

test('digests are HMACs, one after the other', () => {
  const digests = new MemberDigests(salt);
  for (let at = 0; at < 20; at++) {
    const sha = randomBytes(32);
    const wanted = createHmac('sha256', salt).update(sha).digest().subarray(0, 16);
    expect(digests.of(sha.toString('hex')).equals(wanted)).toBe(true);
  }
});
