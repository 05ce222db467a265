import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { generateKeyPair, Sealer } from './age.ts';
import type { Location } from './location.ts';
import { PackUploader } from './pack-uploader.ts';

const PACKS = 500;
const PACK_BYTES = 1_000;
const UPLOADS = 3;
const { recipient } = await generateKeyPair();

test.each([
  ['plain', undefined],
  ['sealed', new Sealer([recipient])],
])(
  'any number of packs (%s) takes the memory of those that are under way, and of one more',
  async (_, sealer) => {
    const memory = new Set<ArrayBufferLike>();
    let running = 0;
    let most = 0;
    let pack = 0;
    let isEnding = false;
    const waiting: (() => void)[] = [];
    const location = {
      async put(_key: string, { buffer }: Uint8Array) {
        memory.add(buffer);
        most = Math.max(most, ++running);
        // The oldest one ends only once as many are under way as may be.
        if (running === UPLOADS) waiting.shift()!();
        if (!isEnding) await new Promise<void>((resolve) => waiting.push(resolve));
        running--;
      },
    } as unknown as Location;
    const uploader = new PackUploader({
      location,
      prefix: '',
      nameOf: () => `${pack++}`,
      sealer,
      retainUntil: undefined,
      uploads: UPLOADS,
      packBytes: PACK_BYTES,
      confirmed: async () => {},
    });
    for (let member = 0; member < 2 * PACKS; member++)
      await uploader.add(randomBytes(16), randomBytes(PACK_BYTES / 2));
    isEnding = true;
    for (const end of waiting) end();
    await uploader.finish();
    expect(uploader.packs).toBe(PACKS);
    expect(most).toBe(UPLOADS);
    expect(memory.size).toBeLessThanOrEqual(UPLOADS + 1);
  },
);
