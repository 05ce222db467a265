/** An object that grows in memory until it is stored: plain, or an age file whose chunks are sealed as they fill. */
import type { Sealer } from './age.ts';
import { CHUNK, sealChunk, TAG } from './age-payload.ts';

export class GrowingObject {
  /** Bytes appended so far. */
  plainBytes = 0;
  #room: Buffer;
  readonly #key: Buffer | undefined;
  /** Where the next byte goes. */
  #at: number;
  #chunk = 0;
  #chunkStart: number;

  private constructor(room: Buffer, key: Buffer | undefined, start: number) {
    this.#room = room;
    this.#key = key;
    this.#at = start;
    this.#chunkStart = start;
  }

  /** @param room is written to; a larger one is made when it is full. */
  static async start(sealer: Sealer | undefined, room: Buffer = Buffer.alloc(0)): Promise<GrowingObject> {
    if (!sealer) return new GrowingObject(room, undefined, 0);
    const { header, key } = await sealer.start();
    const object = new GrowingObject(room, key, header.length);
    object.#reserve(0);
    object.#room.set(header);
    return object;
  }

  /** @param bytes are copied */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.plainBytes += bytes.length;
    for (let done = 0; done < bytes.length; ) {
      if (this.#key && this.#at === this.#chunkStart + CHUNK) this.#seal(this.#key, false);
      const free = this.#key ? this.#chunkStart + CHUNK - this.#at : bytes.length;
      const part = bytes.subarray(done, done + free);
      this.#room.set(part, this.#at);
      this.#at += part.length;
      done += part.length;
    }
  }

  /** The whole object. Nothing can be appended afterwards. */
  finish(): Buffer {
    if (this.#key) this.#seal(this.#key, true);
    return this.#room.subarray(0, this.#at);
  }

  /** The memory that it lies in, to be used again once the object is stored. */
  get room(): Buffer {
    return this.#room;
  }

  #seal(key: Buffer, isLast: boolean): void {
    sealChunk(key, this.#chunk++, isLast, this.#room.subarray(this.#chunkStart, this.#at + TAG));
    this.#at += TAG;
    this.#chunkStart = this.#at;
  }

  #reserve(more: number): void {
    const needed = this.#at + more + (this.#key ? (Math.ceil(more / CHUNK) + 2) * TAG : 0);
    if (needed <= this.#room.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.ceil(this.#room.length * 1.25)));
    this.#room.copy(larger, 0, 0, this.#at);
    this.#room = larger;
  }
}

/** Seals bytes as one object. */
export async function sealObject(sealer: Sealer, plain: Uint8Array): Promise<Buffer> {
  const object = await GrowingObject.start(sealer);
  object.append(plain);
  return object.finish();
}
