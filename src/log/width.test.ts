import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutMiddle, cutText, padText, textWidth } from './width.ts';

test.each([
  ['', 0],
  ['abc', 3],
  ['naïve…', 6],
  ['e\u0301', 1],
  ['写真', 4],
  ['a写', 3],
  ['한국', 4],
  ['📦', 2],
])('%j takes %i columns', (text, width) => expect(textWidth(text)).toBe(width));

test('the end of a path is kept', () => {
  expect(cutMiddle('photos/2026/november/a picture.jpeg', 24)).toMatch(/^photos\/….*picture\.jpeg$/);
  expect(cutMiddle('a/b', 24)).toBe('a/b');
});

test('what is cut fits, and what is padded fills', () => {
  const texts = fc.string({ unit: fc.constantFrom('a', '/', '写', '📦', '…', 'é') });
  fc.assert(
    fc.property(texts, fc.integer({ min: 4, max: 20 }), (text, columns) => {
      for (const cut of [cutText(text, columns), cutMiddle(text, columns)]) {
        expect(textWidth(cut)).toBeLessThanOrEqual(columns);
        expect(cut === text || cut.includes('…')).toBe(true);
        for (const right of [true, false]) expect(textWidth(padText(cut, columns, right))).toBe(columns);
      }
    }),
  );
});
