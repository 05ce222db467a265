import fc from 'fast-check';
import { expect, test } from 'vitest';
import { textWidth } from '../../log/width.ts';
import { type Column, fittedTable, wrapped } from './fitted-table.ts';

const columns: Column[] = [
  { title: 'NAME', cells: ['short', 'a-name-of-thirty-characters-xx'], least: 10 },
  { title: 'STATE', cells: ['Failed', 'OK'] },
  { title: 'SIZE', cells: ['1 B', '200 B'], right: true, weight: 2 },
  { title: 'NOTE', cells: ['first', 'second'], weight: 1 },
];

test.each([
  [
    undefined,
    'NAME                            STATE    SIZE  NOTE\nshort                           Failed    1 B  first\na-name-of-thirty-characters-xx  OK      200 B  second\n',
  ],
  [
    40,
    'NAME               STATE    SIZE  NOTE\nshort              Failed    1 B  first\na-name-of-thirty…  OK      200 B  second\n',
  ],
  [30, 'NAME             STATE    SIZE\nshort            Failed    1 B\na-name-of-thir…  OK      200 B\n'],
  [18, 'NAME        STATE\nshort       Failed\na-name-of…  OK\n'],
  [1, 'NAME        STATE\nshort       Failed\na-name-of…  OK\n'],
])('in a room of %s', (room, text) => {
  expect(fittedTable(columns, room)).toBe(text);
});

test('without headers, and with colours that change no width', () => {
  const painted = columns.map((column) => ({ ...column, paint: (text: string) => `<${text}>` }));
  expect(fittedTable(painted, 18, { headers: false })).toBe(
    '<short     >  <Failed>\n<a-name-of…>  <OK    >\n',
  );
});

test('no row is longer than the room, whatever is in it, if there is room for the least', () => {
  const cell = fc.string({ unit: 'binary', maxLength: 80 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell), { minLength: 1 }),
      fc.integer({ min: 30, max: 120 }),
      (rows, room) => {
        const text = fittedTable(
          [
            { title: 'A', cells: rows.map(([a]) => a), least: 10 },
            { title: 'B', cells: rows.map(([, b]) => b), least: 5 },
          ],
          room,
        );
        const lines = text.trimEnd().split('\n');
        expect(lines.length).toBeLessThanOrEqual(rows.length + 1);
        for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(room);
        expect(text).toMatch(/^(?:[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|\n)*$/u);
      },
    ),
    { numRuns: 30 },
  );
});

test('text is wrapped between words, and words are not broken', () => {
  expect(wrapped('one two three-is-longer four', 10, '  ', '')).toBe('one two\n  three-is-longer\n  four\n');
  expect(wrapped('one two', undefined, '  ')).toBe('  one two\n');
  expect(wrapped('a\nb \u202e', 5, '', '')).toBe('a\\nb\n\\u{202e}\n');
});
