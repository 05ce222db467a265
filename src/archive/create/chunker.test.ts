import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ByteString } from '../format/byte-string.ts';
import { PART_BYTES, splitIntoUnits } from './chunker.ts';
import type { Found } from './walk.ts';

function found(name: string, size = 1000): Found {
  const path = name as ByteString;
  const entry = {
    path,
    type: 'file',
    mode: 0,
    uid: 0,
    gid: 0,
    size,
    mtime: '0',
    ctime: '0',
    ino: '0',
  } as const;
  return { entry };
}

function groups(files: readonly Found[]): string[] {
  return [...splitIntoUnits(files)].map((unit) =>
    unit.kind === 'group'
      ? unit.items.map(({ entry }) => entry.path).join()
      : `large ${unit.item.entry.path}`,
  );
}

const names = Array.from({ length: 5000 }, (_, index) => `dir${index % 7}/file-${index}`).sort();

test('nothing is lost or doubled, whatever the sizes', () => {
  const sizes = fc.array(fc.oneof(fc.nat(2000), fc.nat(3 * PART_BYTES)), { maxLength: 300 });
  fc.assert(
    fc.property(sizes, (list) => {
      const files = list.map((size, index) => found(`f${String(index).padStart(4, '0')}`, size));
      const after = [...splitIntoUnits(files)].flatMap((unit) =>
        unit.kind === 'group' ? unit.items : [unit.item],
      );
      expect(after).toEqual(files);
    }),
  );
});

test('a new, a removed or a renamed file leaves all but a few groups as they were', () => {
  const before = new Set(groups(names.map((name) => found(name))));
  for (const at of [0, 17, 2500, 4999]) {
    const more = names.toSpliced(at, 0, `${names[at]}-new`).sort();
    const changed = groups(more.map((name) => found(name))).filter((group) => !before.has(group));
    expect(changed.length).toBeLessThanOrEqual(2);
  }
});

test('sizes do not move the boundaries between groups of small files', () => {
  const small = groups(names.map((name) => found(name, 10)));
  expect(groups(names.map((name) => found(name, 2000)))).toEqual(small);
});

test('large files stand alone', () => {
  expect(groups([found('a'), found('b', PART_BYTES + 1), found('c', PART_BYTES)])).toEqual([
    'a',
    'large b',
    'c',
  ]);
});

test('groups of small files hold 16 entries or more, and 31 on average', () => {
  const units = [...splitIntoUnits(names.map((name) => found(name)))].flatMap((unit) =>
    unit.kind === 'group' ? [unit.items.length] : [],
  );
  expect(Math.min(...units.slice(1, -1))).toBeGreaterThanOrEqual(16);
  expect(names.length / units.length).toBeGreaterThan(28);
  expect(names.length / units.length).toBeLessThan(34);
});
