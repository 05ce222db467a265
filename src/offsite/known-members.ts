/** Members that a series has stored: digest to place, at about 50 bytes a member. */
import type { Run } from './list-file.ts';
import { DIGEST, type PlacedMember } from './member-index.ts';

const EMPTY = 0xffffffff;
/** Words of a slot: digest, pack, offset, length. */
const WORDS = DIGEST / 4 + 3;

export class KnownMembers {
  readonly #packs: string[] = [];
  readonly #packIds = new Map<string, number>();
  #slots = 1 << 10;
  #table = new Uint32Array(this.#slots * WORDS).fill(EMPTY);
  #size = 0;
  /** The digest that is looked for. */
  readonly #wanted = new Uint32Array(DIGEST / 4);
  readonly #wantedBytes = new Uint8Array(this.#wanted.buffer);

  get size(): number {
    return this.#size;
  }

  /** The first place counts: later ones of the same digest are left out. */
  add({ digest, pack, offset, length }: PlacedMember): void {
    if (4 * (this.#size + 1) > 3 * this.#slots) this.#grow();
    const at = this.#slotOf(digest);
    if (this.#table[at + 4] !== EMPTY) return;
    let id = this.#packIds.get(pack);
    if (id === undefined) {
      id = this.#packs.push(pack) - 1;
      this.#packIds.set(pack, id);
    }
    this.#table.set(this.#wanted, at);
    this.#table.set([id, offset, length], at + 4);
    this.#size++;
  }

  get(digest: Uint8Array): Run | undefined {
    const at = this.#slotOf(digest);
    const id = this.#table[at + 4]!;
    if (id === EMPTY) return undefined;
    return { pack: this.#packs[id]!, offset: this.#table[at + 5]!, length: this.#table[at + 6]! };
  }

  #slotOf(digest: Uint8Array): number {
    this.#wantedBytes.set(digest.subarray(0, DIGEST));
    return this.#find(this.#wanted);
  }

  /** Offset of the slot that holds the digest, or of the free one where it belongs. */
  #find(words: Uint32Array): number {
    const mask = this.#slots - 1;
    for (let slot = words[0]! & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS;
      if (this.#table[at + 4] === EMPTY) return at;
      if (
        this.#table[at] === words[0] &&
        this.#table[at + 1] === words[1] &&
        this.#table[at + 2] === words[2] &&
        this.#table[at + 3] === words[3]
      ) {
        return at;
      }
    }
  }

  #grow(): void {
    const old = this.#table;
    this.#slots *= 2;
    this.#table = new Uint32Array(this.#slots * WORDS).fill(EMPTY);
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + 4] === EMPTY) continue;
      const slot = old.subarray(at, at + WORDS);
      this.#table.set(slot, this.#find(slot.subarray(0, 4)));
    }
  }
}
