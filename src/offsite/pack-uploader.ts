/** Gathers members into packs and stores these, a few at a time. */
import type { Sealer } from './age.ts';
import { KnownMembers } from './known-members.ts';
import type { Location } from './location.ts';
import type { PlacedMember } from './member-index.ts';
import type { ConfirmedPack } from './writer-state.ts';

interface PackUploaderOptions {
  readonly location: Location;
  readonly prefix: string;
  readonly nameOf: () => string;
  readonly sealer: Sealer | undefined;
  readonly retainUntil: Date | undefined;
  readonly uploads: number;
  /** A pack is closed once it holds this much; its last member may take it beyond. */
  readonly packBytes: number;
  /** Told of each pack that the location has confirmed. */
  readonly confirmed: (pack: ConfirmedPack) => void;
}

/** More than the header of an age file with 20 recipients. */
const SEAL_BYTES = 16 * 1024;

interface OpenPack {
  readonly name: string;
  readonly members: [digest: string, length: number][];
  length: number;
}

type Place = Pick<PlacedMember, 'pack' | 'offset'>;

export class PackUploader {
  uploadedBytes = 0;
  packs = 0;
  /** Bytes of each object stored, by the pack's name. */
  readonly packBytes = new Map<string, number>();
  readonly #options: PackUploaderOptions;
  /** Members of this copy, so that equal ones are stored once. */
  readonly #placed = new KnownMembers();
  readonly #running = new Set<Promise<void>>();
  /** What the open pack holds; used again from pack to pack. */
  #plain = Buffer.alloc(0);
  /** What held packs that are stored; used again, because the memory of dropped buffers is freed late. */
  readonly #spare: Buffer[] = [];
  #open: OpenPack | undefined;
  #failure: unknown;

  constructor(options: PackUploaderOptions) {
    this.#options = options;
  }

  /** A pack that an earlier try of this copy has stored. */
  rememberPack({ pack, members }: ConfirmedPack): void {
    let offset = 0;
    for (const [digest, length] of members) {
      this.#placed.add({ digest: Buffer.from(digest, 'hex'), pack, offset, length });
      offset += length;
    }
  }

  placeOf(digest: Uint8Array): Place | undefined {
    return this.#placed.get(digest);
  }

  /** Puts a member into the open pack. @param bytes are copied */
  async add(digest: Uint8Array, bytes: Uint8Array): Promise<Place> {
    this.#throwIfFailed();
    this.#open ??= { name: this.#options.nameOf(), members: [], length: 0 };
    const pack = this.#open;
    const place = { pack: pack.name, offset: pack.length };
    this.#reserve(pack.length, bytes.length);
    this.#plain.set(bytes, pack.length);
    pack.members.push([Buffer.from(digest).toString('hex'), bytes.length]);
    pack.length += bytes.length;
    this.#placed.add({ digest, ...place, length: bytes.length });
    if (pack.length >= this.#options.packBytes) await this.#close();
    return place;
  }

  /** Stores what is open. Resolves once every pack is confirmed. */
  async finish(): Promise<void> {
    await this.#close();
    await Promise.all(this.#running);
    this.#throwIfFailed();
  }

  /** Waits for what is under way, whatever becomes of it. */
  async abandon(): Promise<void> {
    this.#open = undefined;
    await Promise.allSettled(this.#running);
  }

  #reserve(used: number, more: number): void {
    if (used + more <= this.#plain.length) return;
    const { packBytes } = this.#options;
    // Twice as large, but not much beyond what a pack holds.
    const size = Math.max(used + more, Math.min(2 * this.#plain.length, packBytes + (packBytes >> 3)));
    const larger = Buffer.allocUnsafe(size);
    this.#plain.copy(larger, 0, 0, used);
    this.#plain = larger;
  }

  async #close(): Promise<void> {
    const pack = this.#open;
    this.#open = undefined;
    if (!pack) return;
    const { sealer, uploads } = this.#options;
    // Room first, so that no more than `uploads` sealed packs exist at once.
    while (this.#running.size >= uploads) await Promise.race(this.#running);
    this.#throwIfFailed();
    const plain = this.#plain.subarray(0, pack.length);
    const buffer = this.#spareFor(pack.length);
    const stored = sealer ? await sealer.seal(plain, buffer) : buffer.subarray(0, plain.copy(buffer));
    const upload = this.#upload(pack, stored)
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#spare.push(buffer);
        this.#running.delete(upload);
      });
    this.#running.add(upload);
  }

  /** A buffer with room for a pack and what encryption adds. */
  #spareFor(length: number): Buffer {
    const { packBytes } = this.#options;
    const needed = length + (length >> 6) + SEAL_BYTES;
    const spare = this.#spare.pop();
    if (spare && spare.length >= needed) return spare;
    // Most packs hold a little more than `packBytes`.
    return Buffer.allocUnsafe(length < packBytes ? needed : Math.max(needed, packBytes + (packBytes >> 3)));
  }

  async #upload({ name, members }: OpenPack, stored: Buffer): Promise<void> {
    const { location, prefix, retainUntil, confirmed } = this.#options;
    await location.put(prefix + name, stored, { retainUntil });
    this.uploadedBytes += stored.length;
    this.packs++;
    this.packBytes.set(name, stored.length);
    confirmed({ pack: name, sizeBytes: stored.length, members });
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
