/** The payload of an age file: chunks of 64 KiB with a tag each (STREAM). */
import { hkdfSync } from 'node:crypto';
import { ArchiveError } from '../archive/index.ts';
import { openInPlace, sealInPlace, TAG_BYTES } from '../posix/openssl.ts';

export const CHUNK = 64 * 1024;
export const TAG = TAG_BYTES;
export const SEALED_CHUNK = CHUNK + TAG;
/** Bytes between header and payload, from which the payload's key is derived. */
export const NONCE = 16;

export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** How many chunks a payload of this length has: an empty one has one. */
export const chunksOf = (sealedBytes: number): number => Math.max(1, Math.ceil(sealedBytes / SEALED_CHUNK));

/** An 11-byte counter, then 1 for the last chunk. */
function chunkNonce(index: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(index, 7);
  nonce[11] = isLast ? 1 : 0;
  return nonce;
}

/** Encrypts a chunk in place. @param chunk the plain bytes, and room for the tag behind them */
export function sealChunk(key: Uint8Array, index: number, isLast: boolean, chunk: Uint8Array): void {
  sealInPlace(key, chunkNonce(index, isLast), chunk);
}

/**
 * Decrypts chunks that follow each other.
 * @param at index of the first chunk in `sealed`, and how many chunks the whole payload has
 * @throws {ArchiveError} ArchiveCorrupt
 */
export function openChunks(
  sealed: Uint8Array,
  key: Uint8Array,
  at: { readonly first: number; readonly chunks: number },
  what: string,
): Buffer {
  const count = chunksOf(sealed.length);
  const lastLength = sealed.length - (count - 1) * SEALED_CHUNK;
  const isWhole = at.first + count === at.chunks || lastLength === SEALED_CHUNK;
  if (lastLength < TAG || (lastLength === TAG && at.chunks > 1) || !isWhole) {
    throw damaged(what, 'it is cut short');
  }
  // Each chunk is put behind the one before with its tag, which the next one overwrites.
  const plain = Buffer.allocUnsafe(sealed.length - (count - 1) * TAG);
  let done = 0;
  for (let index = 0; index < count; index++) {
    const chunk = sealed.subarray(index * SEALED_CHUNK, (index + 1) * SEALED_CHUNK);
    plain.set(chunk, done);
    const number = at.first + index;
    const nonce = chunkNonce(number, number === at.chunks - 1);
    if (!openInPlace(key, nonce, plain.subarray(done, done + chunk.length))) {
      throw damaged(what, `its content was altered or cut (chunk ${number + 1} of ${at.chunks})`);
    }
    done += chunk.length - TAG;
  }
  return plain.subarray(0, done);
}

export function damaged(what: string, why: string): ArchiveError {
  return new ArchiveError('ArchiveCorrupt', `${what} is damaged: ${why}.`);
}
