import { expect, test } from 'vitest';
import { formatUnlike } from './units.ts';

test.each([
  ['of different sizes', 31_000_000, 22_000_000, ['29.6 MiB', '21.0 MiB']],
  [
    'so near to each other that they read alike',
    31_000_001,
    31_000_000,
    ['31000001 bytes', '31000000 bytes'],
  ],
  ['of a few bytes', 1001, 1000, ['1001 B', '1000 B']],
])('two sizes, %s', (_, one, other, texts) => expect(formatUnlike(one, other)).toEqual(texts));
