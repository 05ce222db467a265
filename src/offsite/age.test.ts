import { randomBytes } from 'node:crypto';
import { Decrypter, Encrypter } from 'age-encryption';
import { describe, expect, test } from 'vitest';
import { generateKeyPair, Opener, Sealer } from './age.ts';
import { sealObject } from './growing-object.ts';

const keys = await generateKeyPair();
const other = await generateKeyPair();
const CHUNK = 64 * 1024;

describe.each([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])('%i bytes', (size) => {
  const plain = randomBytes(size);

  test('are sealed so that the library opens them, and the other way round', async () => {
    const decrypter = new Decrypter();
    decrypter.addIdentity(keys.identity);
    const sealed = await sealObject(new Sealer([other.recipient, keys.recipient]), plain);
    expect(Buffer.from(await decrypter.decrypt(sealed)).equals(plain)).toBe(true);
    const encrypter = new Encrypter();
    encrypter.addRecipient(keys.recipient);
    const theirs = await encrypter.encrypt(plain);
    expect((await new Opener([keys.identity]).open(theirs, 'x')).equals(plain)).toBe(true);
  });

  test('are opened in parts', async () => {
    const sealed = await sealObject(new Sealer([keys.recipient]), plain);
    const part = await new Opener([keys.identity]).openPart(sealed.subarray(0, 8192), sealed.length, 'x');
    for (const [from, to] of [
      [0, 1],
      [0, size],
      [size - 1, size],
      [CHUNK - 1, CHUNK + 1],
      [CHUNK, 2 * CHUNK],
    ] as const) {
      if (from < 0 || to > size || from >= to) continue;
      const range = { offset: from, length: to - from };
      const { offset, length } = part.rangeOf(range);
      const bytes = Buffer.from(sealed.subarray(offset, offset + length));
      expect(part.open(bytes, range).equals(plain.subarray(from, to))).toBe(true);
      bytes[0]! ^= 1;
      expect(() => part.open(bytes, range)).toThrow(/altered or cut/);
      expect(() => part.open(bytes.subarray(0, -1), range)).toThrow(/altered or cut|cut short/);
    }
  });

  test('cut or altered anywhere, they are refused', async () => {
    const sealed = await sealObject(new Sealer([keys.recipient]), plain);
    const opener = new Opener([keys.identity]);
    for (const at of [5, 60, 150, sealed.length - 20, sealed.length - 1]) {
      const altered = Buffer.from(sealed);
      altered[at]! ^= 1;
      await expect(opener.open(altered, 'x'), String(at)).rejects.toMatchObject({ name: 'ArchiveError' });
    }
    for (const length of [0, 10, sealed.length - 1, sealed.length - 17]) {
      await expect(opener.open(sealed.subarray(0, length), 'x'), String(length)).rejects.toMatchObject({
        reason: 'ArchiveCorrupt',
      });
    }
  });
});

test('without an identity that fits, the message says whose fault it is', async () => {
  const sealed = await sealObject(new Sealer([keys.recipient]), Buffer.from('x'));
  await expect(new Opener([other.identity]).open(sealed, 'pack 1')).rejects.toMatchObject({
    reason: 'IdentityMismatch',
    message: expect.stringContaining('pack 1 is encrypted for other recipients'),
  });
});

test.each(['', 'age1short', 'AGE-SECRET-KEY-1X'])('%j is refused as a recipient', (text) => {
  expect(() => new Sealer([text])).toThrow(/not an age recipient/);
});

test('a recipient is refused as an identity', () => {
  expect(() => new Opener([keys.recipient])).toThrow(/not an age identity/);
});
