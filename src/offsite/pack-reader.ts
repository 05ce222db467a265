/** Reads bytes of packs: each pack is fetched, checked and decrypted once, and the last few are kept. */
import { ArchiveError } from '../archive/index.ts';
import type { Opener } from './age.ts';
import { packsPrefix } from './keys.ts';
import type { Run } from './list-file.ts';
import type { Location } from './location.ts';
import { openObject } from './stored-archives.ts';

/** Decrypted packs kept; a run of an archive may go back and forth between an old and a new one. */
const KEPT = 4;

export class PackReader {
  /** Packs fetched so far. */
  fetched = 0;
  readonly #location: Location;
  readonly #prefix: string;
  readonly #opener: Opener | undefined;
  /** Least recently used first. */
  readonly #packs = new Map<string, Promise<Buffer>>();

  constructor(location: Location, series: string, opener: Opener | undefined) {
    this.#location = location;
    this.#prefix = packsPrefix(series);
    this.#opener = opener;
  }

  /** Starts to fetch a pack that will be read soon. */
  expect(pack: string): void {
    void this.#pack(pack).catch(() => {});
  }

  /** @throws {ArchiveError} PackMissing when the pack is not there or too short; ArchiveCorrupt, IdentityMismatch. */
  async read({ pack, offset, length }: Run): Promise<Buffer> {
    const plain = await this.#pack(pack);
    if (offset + length > plain.length) {
      throw new ArchiveError(
        'PackMissing',
        `${this.#location.url}: pack ${this.#prefix}${pack} has ${plain.length} bytes, but the list needs ${offset + length}. It was cut or replaced.`,
      );
    }
    return plain.subarray(offset, offset + length);
  }

  #pack(pack: string): Promise<Buffer> {
    const kept = this.#packs.get(pack) ?? this.#fetch(pack);
    this.#packs.delete(pack);
    this.#packs.set(pack, kept);
    const [oldest] = this.#packs.keys();
    if (this.#packs.size > KEPT && oldest !== undefined) this.#packs.delete(oldest);
    return kept;
  }

  async #fetch(pack: string): Promise<Buffer> {
    this.fetched++;
    const key = this.#prefix + pack;
    const bytes = await this.#location.get(key);
    if (!bytes) {
      throw new ArchiveError(
        'PackMissing',
        `${this.#location.url}: pack ${key} is missing. Archives that need it cannot be restored from here; the next copy uploads its members again.`,
      );
    }
    return await openObject(key, bytes, this.#opener, this.#location.url);
  }
}
