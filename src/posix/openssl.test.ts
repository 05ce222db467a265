import { hash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { digestInBackground, nativeOpenSsl, nodeCrypto, TAG_BYTES } from './openssl.ts';

const native = nativeOpenSsl();
const key = randomBytes(32);
const nonce = randomBytes(12);
const withRoom = (plain: Uint8Array) => Buffer.concat([plain, Buffer.alloc(TAG_BYTES)]);

test("this build of Node.js exports OpenSSL's functions", () => {
  expect(native).toBeDefined();
});

describe.each([0, 1, 15, 16, 64 * 1024])('%i bytes', (length) => {
  const plain = randomBytes(length);

  test.each([
    ['OpenSSL', 'node:crypto', native!, nodeCrypto],
    ['node:crypto', 'OpenSSL', nodeCrypto, native!],
  ])('sealed by %s, they are opened by %s', (_from, _to, from, to) => {
    const chunk = withRoom(plain);
    from.seal(key, nonce, chunk, length);
    const altered = Buffer.from(chunk);
    altered[length]! ^= 1;
    expect(to.open(key, nonce, altered, length)).toBe(false);
    expect(to.open(key, nonce, chunk, length)).toBe(true);
    expect(chunk.subarray(0, length).equals(plain)).toBe(true);
  });

  test.each(['md5', 'sha256'] as const)('have their %s', async (name) => {
    const wanted = hash(name, plain, 'hex');
    expect((await digestInBackground(name, plain)).toString('hex')).toBe(wanted);
    expect((await nodeCrypto.digest(name, plain)).toString('hex')).toBe(wanted);
  });
});

test('many buffers are hashed at once, each with its own digest', async () => {
  const buffers = Array.from({ length: 50 }, (_, index) => Buffer.alloc(100_000, index));
  const digests = await Promise.all(buffers.map((bytes) => digestInBackground('sha256', bytes)));
  expect(digests.map((digest) => digest.toString('hex'))).toEqual(
    buffers.map((bytes) => hash('sha256', bytes)),
  );
});
