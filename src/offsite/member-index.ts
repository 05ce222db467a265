/**
 * The index of an archive: a keyed digest and the length of each member, in the archive's order. With the list it says
 * what a series has stored, without telling a reader of the location what the members hold.
 */
import { createHash, hash } from 'node:crypto';
import { ArchiveError } from '../archive/index.ts';
import type { Run } from './list-file.ts';

const MAGIC = Buffer.from('KMINDEX1');
const SALT_ID = 8;
/** 128 bits of the HMAC: no two members of a series meet by chance, and nobody without the salt can make one. */
export const DIGEST = 16;
const RECORD = DIGEST + 4;
const HMAC_BLOCK = 64;
const SHA256 = 32;

/** Names the salt without telling it. */
export function saltId(salt: Uint8Array): Buffer {
  return createHash('sha256').update('km-backup salt id').update(salt).digest().subarray(0, SALT_ID);
}

/**
 * HMAC-SHA-256 of digests. One object of `node:crypto` or one buffer for each member would hold more memory, until it is
 * collected, than everything else that is known of the member.
 */
export class MemberDigests {
  readonly #inner: Buffer;
  readonly #outer: Buffer;
  readonly #digest = Buffer.alloc(SHA256);
  readonly #start = this.#digest.subarray(0, DIGEST);

  /** @param salt at most 64 bytes */
  constructor(salt: Uint8Array) {
    const padded = Buffer.alloc(HMAC_BLOCK);
    padded.set(salt);
    this.#inner = Buffer.concat([padded.map((byte) => byte ^ 0x36), Buffer.alloc(SHA256)]);
    this.#outer = Buffer.concat([padded.map((byte) => byte ^ 0x5c), Buffer.alloc(SHA256)]);
  }

  /**
   * @param sha256 hex digest of a member's compressed bytes
   * @returns bytes that are valid until the next call
   */
  of(sha256: string): Buffer {
    this.#inner.write(sha256, HMAC_BLOCK, 'hex');
    this.#outer.write(hash('sha256', this.#inner, 'latin1'), HMAC_BLOCK, 'latin1');
    this.#digest.write(hash('sha256', this.#outer, 'latin1'), 'latin1');
    return this.#start;
  }
}

/** Collects the records of an archive's members. */
export class IndexWriter {
  #bytes = Buffer.allocUnsafe(1 << 16);
  #length: number;

  constructor(salt: Uint8Array) {
    MAGIC.copy(this.#bytes);
    saltId(salt).copy(this.#bytes, MAGIC.length);
    this.#length = MAGIC.length + SALT_ID;
  }

  add(digest: Uint8Array, length: number): void {
    if (this.#length + RECORD > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * this.#bytes.length);
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    this.#bytes.set(digest, this.#length);
    this.#bytes.writeUInt32LE(length, this.#length + DIGEST);
    this.#length += RECORD;
  }

  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

export interface PlacedMember {
  readonly digest: Uint8Array;
  readonly pack: string;
  readonly offset: number;
  readonly length: number;
}

/** Whether an index was made with this salt; another one's digests say nothing to us. */
export function isOfSalt(index: Buffer, salt: Uint8Array): boolean {
  return index.subarray(MAGIC.length, MAGIC.length + SALT_ID).equals(saltId(salt));
}

/**
 * Where each member lies, by index and list together.
 * @throws {ArchiveError} ArchiveCorrupt when they do not belong together.
 */
export function* placedMembers(index: Buffer, runs: readonly Run[], where: string): Generator<PlacedMember> {
  const start = MAGIC.length + SALT_ID;
  if (!index.subarray(0, MAGIC.length).equals(MAGIC) || (index.length - start) % RECORD !== 0) {
    throw new ArchiveError('ArchiveCorrupt', `${where} is not a valid index.`);
  }
  let run = 0;
  let taken = 0;
  for (let at = start; at < index.length; at += RECORD) {
    const length = index.readUInt32LE(at + DIGEST);
    const current = runs[run];
    if (!current || taken + length > current.length) {
      throw new ArchiveError('ArchiveCorrupt', `${where} does not fit its list.`);
    }
    yield {
      digest: index.subarray(at, at + DIGEST),
      pack: current.pack,
      offset: current.offset + taken,
      length,
    };
    taken += length;
    if (taken === current.length) {
      run++;
      taken = 0;
    }
  }
  if (run !== runs.length) throw new ArchiveError('ArchiveCorrupt', `${where} does not fit its list.`);
}
