import { execFileSync } from 'node:child_process';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ALIGNMENT, paddingAt, withPadding } from './alignment.ts';
import { compress } from './compress.ts';
import { systemDeflate } from './libdeflate.ts';

const raw = Buffer.from('some tar bytes '.repeat(100));

describe.each(['gzip', 'zstd'] as const)('a padded %s member', (compression) => {
  const member = Uint8Array.from(compress(raw, compression, 3));

  test('ends on a block, by as little as can be, and holds what it held', () => {
    fc.assert(
      fc.property(fc.nat(1 << 20), (start) => {
        const padding = paddingAt(start + member.length);
        const padded = withPadding(member, compression, padding);
        expect((start + padded.length) % ALIGNMENT).toBe(0);
        expect(padding).toBeLessThan(ALIGNMENT + 8);
        expect((compression === 'gzip' ? gunzipSync : zstdDecompressSync)(padded)).toEqual(raw);
      }),
    );
  });
});

test.each([0, 8, ALIGNMENT + 7])('gzip members with %i bytes more are read by other programs', (count) => {
  const member = withPadding(compress(raw, 'gzip', 5), 'gzip', count);
  const two = Buffer.concat([member, member]);
  expect(execFileSync('gzip', ['-dc'], { input: two })).toEqual(Buffer.concat([raw, raw]));
  expect(systemDeflate()?.gunzip?.(member, raw.length) ?? raw).toEqual(raw);
});
