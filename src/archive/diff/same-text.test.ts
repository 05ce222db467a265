import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isSameText, samePrefix } from './same-text.ts';

test('a prefix ends where the first byte differs', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 5000 }),
      fc.nat({ max: 5000 }),
      fc.nat({ max: 9 }),
      fc.nat({ max: 9 }),
      (length, differsAt, from, start) => {
        const a = Buffer.alloc(from + length, 1);
        const b = Buffer.alloc(start + length, 1);
        if (differsAt < length) b[start + differsAt] = 2;
        expect(samePrefix(a, from, b, start, length)).toBe(Math.min(differsAt, length));
      },
    ),
  );
});

test('what lies beyond the end of either is not the same', () => {
  const [a, b] = [Buffer.from('abc'), Buffer.from('abcd')];
  expect(isSameText(a, 0, b, 0, 3)).toBe(true);
  expect(isSameText(a, 0, b, 0, 4)).toBe(false);
  expect(isSameText(a, 1, b, 1, 3)).toBe(false);
  expect(isSameText(a, 3, b, 4, 0)).toBe(true);
});
