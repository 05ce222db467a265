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

interface OpenPack {
  readonly name: string;
  readonly bytes: Buffer[];
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
    this.#open ??= { name: this.#options.nameOf(), bytes: [], members: [], length: 0 };
    const pack = this.#open;
    const place = { pack: pack.name, offset: pack.length };
    pack.bytes.push(Buffer.from(bytes));
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

  async #close(): Promise<void> {
    const pack = this.#open;
    this.#open = undefined;
    if (!pack) return;
    const upload = this.#upload(pack).catch((error: unknown) => {
      this.#failure ??= error;
    });
    this.#running.add(upload);
    void upload.finally(() => this.#running.delete(upload));
    while (this.#running.size >= this.#options.uploads) await Promise.race(this.#running);
    this.#throwIfFailed();
  }

  async #upload({ name, bytes, members }: OpenPack): Promise<void> {
    const { location, prefix, sealer, retainUntil, confirmed } = this.#options;
    const plain = Buffer.concat(bytes);
    const stored = sealer ? await sealer.seal(plain) : plain;
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
