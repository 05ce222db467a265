import type { ByteString } from '../format/byte-string.ts';
import type { Found } from './walk.ts';

/**
 * First names of hard-linked inodes that the archive does not hold after all: the file could not be read, or another
 * file had taken its place. The inode's next name then holds the content.
 */
export class LostFirstNames {
  /** Lost name to the name that holds the inode instead, once there is one. */
  readonly #successors = new Map<ByteString, ByteString | undefined>();

  add(path: ByteString): void {
    if (!this.#successors.has(path)) this.#successors.set(path, undefined);
  }

  /** Whether one of these links to a lost name. */
  affect(items: readonly Found[]): boolean {
    return (
      this.#successors.size > 0 &&
      items.some(({ entry }) => entry.type === 'hardlink' && this.#successors.has(entry.link!))
    );
  }

  /** The same entries without links to lost names: each becomes a link to the successor, or is the successor. */
  relink(items: readonly Found[]): readonly Found[] {
    return this.#successors.size === 0 ? items : items.map((found) => this.#relinked(found));
  }

  #relinked(found: Found): Found {
    const { entry, own, identity } = found;
    if (entry.type !== 'hardlink') return found;
    let link = entry.link!;
    while (this.#successors.has(link)) {
      const next = this.#successors.get(link);
      if (next === undefined) {
        this.#successors.set(link, entry.path);
        return { entry: own!, identity: identity! };
      }
      link = next;
    }
    return { ...found, entry: { ...entry, link } };
  }
}
