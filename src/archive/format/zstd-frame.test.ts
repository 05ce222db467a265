import { randomBytes } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { zstdFrame } from './zstd-frame.ts';

test('content of any length makes one frame', () => {
  // Of content that does not compress, a frame is a few bytes longer than that, so each length of a buffer is met.
  const bytes = randomBytes(2500);
  let before = zstdFrame(bytes.subarray(0, 599), 3).length;
  for (let length = 600; length < bytes.length; length++) {
    const content = bytes.subarray(0, length);
    const frame = zstdFrame(content, 3);
    expect(frame.length - before).toBeLessThanOrEqual(4);
    expect(zstdDecompressSync(frame).equals(content)).toBe(true);
    before = frame.length;
  }
});
