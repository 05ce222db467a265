/**
 * Encrypts and decrypts whole objects as age files (https://age-encryption.org/v1). The library makes and reads the
 * header; the payload goes through OpenSSL, which is several times faster than the library's own JavaScript.
 */
import { hash } from 'node:crypto';
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { ArchiveError } from '../archive/index.ts';
import { CHUNK, chunksOf, damaged, NONCE, openChunks, payloadKey, SEALED_CHUNK, TAG } from './age-payload.ts';
import type { ByteRange } from './location.ts';

/** A pair made by `km-backup location keygen`. */
export interface KeyPair {
  /** `AGE-SECRET-KEY-1…`: whoever holds it can read the copies. */
  readonly identity: string;
  /** `age1…`: what a copy is encrypted for. */
  readonly recipient: string;
}

export async function generateKeyPair(): Promise<KeyPair> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/** Encrypts objects for recipients; each object has a file key of its own. */
export class Sealer {
  /** Names the set of recipients: packs are used again only for the same set. */
  readonly id: string;
  readonly #recipients: readonly string[];

  /** @throws {ArchiveError} Usage when a recipient is not an age public key. */
  constructor(recipients: readonly string[]) {
    this.#recipients = recipients;
    this.id = hash('sha256', [...new Set(recipients)].sort().join('\n'), 'hex').slice(0, 16);
    for (const recipient of recipients) {
      try {
        new Encrypter().addRecipient(recipient);
      } catch {
        throw new ArchiveError(
          'Usage',
          `${JSON.stringify(recipient)} is not an age recipient: it must look like age1… (km-backup location keygen makes one).`,
        );
      }
    }
  }

  /** A new object: its header with the nonce, and the key for its payload. */
  async start(): Promise<{ readonly header: Uint8Array; readonly key: Buffer }> {
    const encrypter = new Encrypter();
    for (const recipient of this.#recipients) encrypter.addRecipient(recipient);
    let fileKey: Uint8Array | undefined;
    // Not a recipient: it only sees the key that the header wraps for the others.
    encrypter.addRecipient({
      wrapFileKey: (key) => {
        fileKey = Uint8Array.from(key);
        return [];
      },
    });
    const empty = await encrypter.encrypt(new Uint8Array());
    // The empty payload is one tag; before it stands the nonce from which the payload's key is derived.
    const header = empty.subarray(0, empty.length - TAG);
    return { header, key: payloadKey(fileKey!, header.subarray(-NONCE)) };
  }
}

/** Decrypts objects with identities. */
export class Opener {
  readonly #identities: readonly string[];

  /** @throws {ArchiveError} Usage when an identity cannot be read. */
  constructor(identities: readonly string[]) {
    this.#identities = identities;
    for (const [index, identity] of identities.entries()) {
      try {
        new Decrypter().addIdentity(identity);
      } catch {
        throw new ArchiveError(
          'Usage',
          `Identity ${index + 1} is not an age identity: it must look like AGE-SECRET-KEY-1… .`,
        );
      }
    }
  }

  /** @throws {ArchiveError} IdentityMismatch when no identity fits, ArchiveCorrupt when the object is damaged. */
  async open(sealed: Uint8Array, what: string): Promise<Buffer> {
    const { key, start } = await this.#payload(sealed, what);
    const payload = sealed.subarray(start);
    return openChunks(payload, key, { first: 0, chunks: chunksOf(payload.length) }, what);
  }

  /**
   * Opens a part of an object.
   * @param head its first bytes, at least the header
   * @param sizeBytes of the whole object
   */
  async openPart(head: Uint8Array, sizeBytes: number, what: string): Promise<SealedPart> {
    const { key, start } = await this.#payload(head, what);
    return new SealedPart(key, start, sizeBytes, what);
  }

  async #payload(sealed: Uint8Array, what: string): Promise<{ key: Buffer; start: number }> {
    const end = headerEnd(sealed);
    if (end === undefined) throw damaged(what, 'it does not begin like an age file');
    const decrypter = new Decrypter();
    for (const identity of this.#identities) decrypter.addIdentity(identity);
    let fileKey: Uint8Array;
    try {
      fileKey = await decrypter.decryptHeader(sealed.subarray(0, end));
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (/no identity matched/.test(message)) {
        throw new ArchiveError(
          'IdentityMismatch',
          `${what} is encrypted for other recipients: none of the ${this.#identities.length} identities fits. Pass the one that was valid when the copy was made (--identity).`,
        );
      }
      throw damaged(what, message);
    }
    const start = end + NONCE;
    return { key: payloadKey(fileKey, sealed.subarray(end, start)), start };
  }
}

/** Where bytes of the plain object are in the sealed one, and what they were. */
export class SealedPart {
  readonly #key: Buffer;
  readonly #start: number;
  readonly #sizeBytes: number;
  readonly #what: string;

  constructor(key: Buffer, start: number, sizeBytes: number, what: string) {
    this.#key = key;
    this.#start = start;
    this.#sizeBytes = sizeBytes;
    this.#what = what;
  }

  /** The range of the sealed object to read for a range of the plain one. */
  rangeOf({ offset, length }: ByteRange): ByteRange {
    const first = Math.floor(offset / CHUNK);
    const end = Math.floor((offset + length - 1) / CHUNK) + 1;
    const from = this.#start + first * SEALED_CHUNK;
    const to = Math.min(this.#sizeBytes, this.#start + end * SEALED_CHUNK);
    return { offset: from, length: Math.max(1, to - from) };
  }

  /** @param sealed the bytes of `rangeOf` the same range */
  open(sealed: Uint8Array, { offset, length }: ByteRange): Buffer {
    const first = Math.floor(offset / CHUNK);
    const chunks = chunksOf(this.#sizeBytes - this.#start);
    const plain = openChunks(sealed, this.#key, { first, chunks }, this.#what);
    return plain.subarray(offset - first * CHUNK, offset - first * CHUNK + length);
  }
}

/** Whether the first bytes of an age file hold its header and nonce. */
export function hasWholeHeader(head: Uint8Array): boolean {
  const end = headerEnd(head);
  return end !== undefined && end + NONCE <= head.length;
}

/** Where the textual header ends: after the newline of its last line, `--- MAC`. */
function headerEnd(sealed: Uint8Array): number | undefined {
  const head = Buffer.from(sealed.buffer, sealed.byteOffset, Math.min(sealed.length, 64 * 1024));
  if (!head.subarray(0, 22).equals(Buffer.from('age-encryption.org/v1\n'))) return undefined;
  const mac = head.indexOf('\n--- ');
  const end = mac < 0 ? -1 : head.indexOf('\n', mac + 1);
  return end < 0 ? undefined : end + 1;
}
