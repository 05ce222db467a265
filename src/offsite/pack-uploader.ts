/** Gathers members into packs and stores these, a few at a time. */
import type { Sealer } from './age.ts';
import { GrowingObject } from './growing-object.ts';
import { KnownMembers } from './known-members.ts';
import type { Run } from './list-file.ts';
import type { Location } from './location.ts';
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
  /** Told of each pack that the location has confirmed, and awaited. */
  readonly confirmed: (pack: ConfirmedPack) => Promise<void>;
}

/** More than the header of an age file with 20 recipients. */
const SEAL_BYTES = 16 * 1024;

interface OpenPack {
  readonly name: string;
  readonly members: [digest: string, length: number][];
  readonly object: GrowingObject;
}

export class PackUploader {
  uploadedBytes = 0;
  packs = 0;
  /** Bytes of each object stored, by the pack's name. */
  readonly packBytes = new Map<string, number>();
  readonly #options: PackUploaderOptions;
  /** Members of this copy, so that equal ones are stored once. */
  readonly #placed = new KnownMembers();
  readonly #running = new Set<Promise<void>>();
  /** Memory of packs that are stored; used again, because the memory of dropped buffers is freed late. */
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

  placeOf(digest: Uint8Array): Run | undefined {
    return this.#placed.get(digest);
  }

  /** Puts a member into the open pack. @param bytes are copied */
  async add(digest: Uint8Array, bytes: Uint8Array): Promise<Run> {
    this.#throwIfFailed();
    this.#open ??= {
      name: this.#options.nameOf(),
      members: [],
      object: await GrowingObject.start(this.#options.sealer, this.#room()),
    };
    const { name: pack, members, object } = this.#open;
    const place = { pack, offset: object.plainBytes, length: bytes.length };
    object.append(bytes);
    members.push([digest.toHex(), bytes.length]);
    this.#placed.add({ digest, ...place });
    if (object.plainBytes >= this.#options.packBytes) await this.#close();
    return place;
  }

  /** Stores what is open. Resolves once every pack is confirmed. */
  async finish(): Promise<void> {
    await this.#close();
    await Promise.all(this.#running);
    this.#throwIfFailed();
    // What comes next has few packs.
    this.#spare.splice(1);
  }

  /** Waits for what is under way, whatever becomes of it. */
  async abandon(): Promise<void> {
    this.#open = undefined;
    await Promise.allSettled(this.#running);
  }

  /** Room for a pack; memory that is not written to is not taken from the system. */
  #room(): Buffer {
    const { packBytes } = this.#options;
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(packBytes + (packBytes >> 3) + SEAL_BYTES);
  }

  async #close(): Promise<void> {
    const pack = this.#open;
    this.#open = undefined;
    if (!pack) return;
    // Room first, so that no more than `uploads` packs are under way at once.
    while (this.#running.size >= this.#options.uploads) await Promise.race(this.#running);
    this.#throwIfFailed();
    const upload = this.#upload(pack, pack.object.finish())
      .catch((error: unknown) => {
        this.#failure ??= error;
      })
      .finally(() => {
        this.#spare.push(pack.object.room);
        this.#running.delete(upload);
      });
    this.#running.add(upload);
  }

  async #upload({ name, members }: OpenPack, stored: Buffer): Promise<void> {
    const { location, prefix, retainUntil, confirmed } = this.#options;
    await location.put(prefix + name, stored, { retainUntil });
    this.uploadedBytes += stored.length;
    this.packs++;
    this.packBytes.set(name, stored.length);
    await confirmed({ pack: name, sizeBytes: stored.length, members });
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }
}
