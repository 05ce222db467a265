import { randomBytes } from 'node:crypto';
import { Decrypter } from 'age-encryption';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { generateKeyPair, Sealer } from './age.ts';
import { GrowingObject } from './growing-object.ts';

const keys = await generateKeyPair();
const sealer = new Sealer([keys.recipient]);
const CHUNK = 64 * 1024;
const size = fc.oneof(
  fc.integer({ min: 0, max: 100 }),
  fc.integer({ min: CHUNK - 2, max: CHUNK + 2 }),
  fc.integer({ min: 0, max: 3 * CHUNK }),
);

/** The second object lies in the memory of the first one, as with packs. */
async function grown(with_: Sealer | undefined, parts: readonly Buffer[]): Promise<Buffer> {
  let room: Buffer = Buffer.alloc(0);
  for (const content of [[Buffer.alloc(CHUNK + 5, 'x')], parts]) {
    const object = await GrowingObject.start(with_, room);
    for (const part of content) object.append(part);
    const whole = object.finish();
    if (content === parts) return whole;
    room = object.room;
  }
  throw new Error('unreachable');
}

test('however it is put together, the library opens it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(size, { maxLength: 6 }), async (sizes) => {
      const parts = sizes.map((bytes) => randomBytes(bytes));
      const decrypter = new Decrypter();
      decrypter.addIdentity(keys.identity);
      const opened = Buffer.from(await decrypter.decrypt(await grown(sealer, parts)));
      expect(opened.equals(Buffer.concat(parts))).toBe(true);
      expect((await grown(undefined, parts)).equals(Buffer.concat(parts))).toBe(true);
    }),
    { numRuns: 40 },
  );
});
