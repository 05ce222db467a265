import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemDeflate, wasmDeflate } from './libdeflate.ts';

const system = systemDeflate();

const content = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc
    .array(fc.constantFrom('archive', 'tar', '\n', 'ustar'), { maxLength: 500 })
    .map((words) => Buffer.from(words.join(' '))),
);

test('WebAssembly build round trips', () => {
  fc.assert(
    fc.property(content, fc.integer({ min: 1, max: 12 }), (raw, level) => {
      expect(gunzipSync(wasmDeflate.gzip(raw, level))).toEqual(Buffer.from(raw));
    }),
    { numRuns: 50 },
  );
});

// Where the system has no libdeflate there is nothing to compare: the build above does the work there.
describe.runIf(system)('system build', () => {
  test('round trips, by its own inflater too', () => {
    fc.assert(
      fc.property(content, fc.integer({ min: 1, max: 12 }), (raw, level) => {
        const packed = system!.gzip(raw, level);
        expect(gunzipSync(packed)).toEqual(Buffer.from(raw));
        expect(system!.gunzip!(packed, raw.length)).toEqual(Buffer.from(raw));
      }),
      { numRuns: 50 },
    );
  });

  test('gunzip: exact size or nothing', () => {
    const raw = Buffer.from('x'.repeat(1000));
    const packed = Buffer.from(system!.gzip(raw, 5));
    expect(system!.gunzip!(packed, 1000)).toEqual(raw);
    expect(system!.gunzip!(packed, 999)).toBeUndefined();
    expect(system!.gunzip!(packed, 1001)).toBeUndefined();
    expect(system!.gunzip!(packed.subarray(0, -1), 1000)).toBeUndefined();
    expect(system!.gunzip!(Buffer.concat([packed, packed]), 1000)).toBeUndefined();
    const flipped = Buffer.from(packed);
    flipped[flipped.length - 6]! ^= 1;
    expect(system!.gunzip!(flipped, 1000)).toBeUndefined();
    expect(system!.gunzip!(system!.gzip(Buffer.alloc(0), 5), 0)).toEqual(Buffer.alloc(0));
  });
});
