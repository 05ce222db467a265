import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ArchiveList, appendRun, encodeList, parseList, type Run } from './list-file.ts';

const runs: Run[] = [
  { pack: 'w-1.pack.age', offset: 0, length: 70 },
  { pack: 'w-2.pack.age', offset: 5, length: 30 },
];
const list: ArchiveList = {
  archive: 'km-backup-20260102T030405Z.tgz',
  series: 'ns/"odd"\nname',
  writer: '1f00',
  sizeBytes: 100,
  sha256: 'a'.repeat(64),
  startedAt: '2026-01-02T03:04:05.000Z',
  isSealed: true,
  recipients: 'ab',
  isComplete: true,
  manifestParts: 0,
  packBytes: new Map([
    ['w-1.pack.age', 300],
    ['w-2.pack.age', 400],
  ]),
  runs,
  manifestRuns: [
    { pack: 'w-1.pack.age', offset: 70, length: 9 },
    { pack: 'w-2.pack.age', offset: 35, length: 8 },
  ],
};

test('a list comes back as it was written', () => {
  expect(parseList(encodeList(list), 'x')).toEqual(list);
});

test('its lines without # are what the recipe reads', () => {
  const lines = encodeList(list).trimEnd().split('\n');
  expect(lines.filter((line) => !line.startsWith('#'))).toEqual(['w-1.pack.age 0 70', 'w-2.pack.age 5 30']);
});

test.each<[string, (text: string) => string, RegExp]>([
  ['is empty', () => '', /first line/],
  ['is cut', (text) => text.slice(0, -3), /last line|add up/],
  ['lacks a run', (text) => text.replace('w-2.pack.age 5 30\n', ''), /add up to 70/],
  ['lacks a header line', (text) => text.replace(/^# sha256.*\n/m, ''), /header is incomplete/],
  ['has a header line of another type', (text) => text.replace(/"a{64}"/, '7'), /header is incomplete/],
  ['has a digest that is none', (text) => text.replace(/a{64}/, 'zz'), /header is incomplete/],
  ['names a pack outside of its folder', (text) => text.replace('w-2.pack.age 5', '../w 5'), /malformed/],
  ['has a negative offset', (text) => text.replace('age 5 30', 'age -5 30'), /malformed/],
])('a list that %s is refused', (_, damage, message) => {
  expect(() => parseList(damage(encodeList(list)), 'x')).toThrow(message);
});

test('runs that adjoin are joined, and stand for the same bytes', () => {
  const run = fc.record({
    pack: fc.constantFrom('a', 'b'),
    offset: fc.nat(20),
    length: fc.integer({ min: 1, max: 5 }),
  });
  const bytes = (all: readonly Run[]) =>
    all.flatMap(({ pack, offset, length }) => Array.from({ length }, (_, at) => `${pack}${offset + at}`));
  fc.assert(
    fc.property(fc.array(run), (all) => {
      const joined: Run[] = [];
      for (const one of all) appendRun(joined, one);
      expect(bytes(joined)).toEqual(bytes(all));
      expect(joined.length).toBeLessThanOrEqual(all.length);
    }),
  );
});
