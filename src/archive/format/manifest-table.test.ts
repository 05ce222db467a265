import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteString, fromText } from './byte-string.ts';
import type { Member, MemberLines } from './manifest.ts';
import { encodeTable, type ManifestTable, PieceRows, parseTable, piecesAbout } from './manifest-table.ts';
import { manifestFrame } from './manifest-writer.ts';
import { summaryWith } from './testing/summary.ts';

const sha256 = '0'.repeat(64);
const summary = summaryWith();

function member(kind: Member['kind'], ...names: string[]): MemberLines {
  const time = '1767225600000000000';
  const lines = names.map(
    (name) =>
      `{"path":${JSON.stringify(name)},"type":"file","mode":420,"uid":0,"gid":0,"size":9,"mtime":"${time}","ctime":"${time}","ino":"1","sha256":"${sha256}"}`,
  );
  return { member: { kind, offset: 0, size: 10, rawSize: 30, sha256 }, lines };
}

function tableOf(...pieces: MemberLines[][]): ManifestTable {
  const rows = new PieceRows();
  for (const [index, members] of pieces.entries()) rows.add(members, 100 + index);
  return { summary, pieces: rows.rows };
}

const about = (table: ManifestTable, ...paths: string[]) => {
  const found = piecesAbout(new Set(paths.map(fromText)), table);
  return found.map(({ frameBytes }) => frameBytes - 100);
};

describe('the pieces about a path', () => {
  const table = tableOf(
    [member('group', '', 'a', 'b', 'b/1', 'b/5')],
    [member('group', 'b/7', 'b/x', 'b/x/deep', 'b-after'), member('header', 'c')],
    [member('part'), member('part')],
    [member('part'), member('group', 'd', 'e', 'e/1')],
    [member('group', 'e/3', 'e/ü', 'z')],
    [member('end')],
  );

  test.each<[paths: string[], pieces: number[]]>([
    [['a'], [0]],
    [['b/1'], [0]],
    // Also that of the directory above.
    [['b/x/deep'], [0, 1]],
    [['b'], [0, 1]],
    [['b-after'], [1]],
    // The header, and all parts.
    [['c'], [1, 2, 3]],
    // Parts of another file come first: its header tells whose they are.
    [['d'], [1, 2, 3]],
    [['e'], [1, 2, 3, 4]],
    [['e/ü'], [1, 2, 3, 4]],
    [['z'], [4]],
    [['zz'], []],
    [
      ['a', 'z'],
      [0, 4],
    ],
    // Between two pieces there is nothing.
    [['b/6'], [0]],
    [[''], [0, 1, 2, 3, 4]],
    [[], []],
  ])('%j', (paths, pieces) => {
    expect(about(table, ...paths)).toEqual(pieces);
  });

  test('entries out of order are found all the same', () => {
    const mixed = tableOf([member('group', 'm', 'a')], [member('group', 'z', 'b')]);
    expect(about(mixed, 'b')).toEqual([0, 1]);
    expect(about(mixed, 'y')).toEqual([1]);
  });

  test('places add up', () => {
    const [first, last] = piecesAbout(new Set([fromText('a'), fromText('z')]), table);
    expect(first).toMatchObject({
      frameOffset: 0,
      archiveOffset: 0,
      entries: 5,
      members: 1,
      archiveBytes: 10,
    });
    expect(last).toMatchObject({ frameOffset: 100 + 101 + 102 + 103, archiveOffset: 70 });
  });
});

const bytes = fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)) });
const row = fc.record({
  frameBytes: fc.nat(),
  members: fc.nat(),
  entries: fc.nat(),
  archiveBytes: fc.maxSafeNat(),
  continues: fc.boolean(),
  paths: fc.option(fc.tuple(bytes, bytes), { nil: undefined }),
});

test('a table comes back as it was', () => {
  fc.assert(
    fc.property(fc.array(row), (rows) => {
      const pieces = rows as ManifestTable['pieces'];
      expect(parseTable(encodeTable({ summary, pieces }), 'x')).toEqual({ summary, pieces });
    }),
  );
});

test.each<[string, unknown]>([
  ['no object', 7],
  ['no pieces', { summary }],
  ['no summary', { pieces: [] }],
  ['a row that is no list', { summary, pieces: [7] }],
  ['a row that is too short', { summary, pieces: [[1, 1, 1, 1]] }],
  ['a negative length', { summary, pieces: [[-1, 1, 1, 1, false]] }],
  ['one path', { summary, pieces: [[1, 1, 1, 1, false, 'a']] }],
  ['a path that is no text', { summary, pieces: [[1, 1, 1, 1, false, 'a', 1]] }],
])('a table with %s is refused', (_, value) => {
  const frame = manifestFrame(Buffer.from(JSON.stringify(value)));
  expect(() => parseTable(frame, 'copy')).toThrow(/copy: not a valid manifest/);
});

test('damaged bytes are refused', () => {
  const frame = encodeTable(tableOf([member('group', 'a' as ByteString)]));
  expect(() => parseTable(frame.subarray(0, -6), 'copy')).toThrow(/its table is damaged/);
  expect(() => parseTable(Buffer.alloc(0), 'copy')).toThrow(/its table is damaged/);
});
