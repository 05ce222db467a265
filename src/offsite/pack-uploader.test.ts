import { randomBytes } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
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
    const location = {
      async put(_key: string, { buffer }: Uint8Array) {
        memory.add(buffer);
        most = Math.max(most, ++running);
        for (let turns = 0; turns < pack % 4; turns++) await setImmediate();
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
    await uploader.finish();
    expect(uploader.packs).toBe(PACKS);
    expect(most).toBe(UPLOADS);
    expect(memory.size).toBeLessThanOrEqual(UPLOADS + 1);
  },
);
