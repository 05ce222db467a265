import { type KubeObject, keyOf } from './object.ts';

/** The values of an index under which an object is found. */
export type Indexer<T> = (object: T) => readonly string[];

/** How to keep objects that are seldom read as text, which takes a fraction of the memory. */
export interface Packing<T> {
  /** Text for an object that is seldom read; any other object unchanged. */
  pack(object: T): T | string;
  unpack(text: string): T;
}

/** Objects of one kind by key and by index. */
export class IndexedObjects<T extends KubeObject> {
  readonly #objects = new Map<string, T | string>();
  readonly #indexers: [name: string, indexer: Indexer<T>][];
  /** Keys of the objects by index and value. */
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  readonly #packing: Packing<T> | undefined;

  constructor(indexers: Record<string, Indexer<T>> = {}, packing?: Packing<T>) {
    this.#indexers = Object.entries(indexers);
    for (const [name] of this.#indexers) this.#indexes.set(name, new Map());
    this.#packing = packing;
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    const kept = this.#objects.get(key);
    return typeof kept === 'string' ? this.#packing!.unpack(kept) : kept;
  }

  list(): T[] {
    return Array.from(this.#objects.keys(), (key) => this.get(key)!);
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (!values) throw new Error(`no index ${index}`);
    return Array.from(values.get(value) ?? [], (key) => this.get(key)!);
  }

  /** Replaces the object with the same key, and returns the replaced one. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const old = this.delete(key);
    this.#objects.set(key, this.#packing ? this.#packing.pack(object) : object);
    for (const [name, indexer] of this.#indexers) {
      const index = this.#indexes.get(name)!;
      for (const value of indexer(object)) {
        const keys = index.get(value);
        if (keys) keys.add(key);
        else index.set(value, new Set([key]));
      }
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.get(key);
    if (!old) return undefined;
    this.#objects.delete(key);
    for (const [name, indexer] of this.#indexers) {
      const index = this.#indexes.get(name)!;
      for (const value of indexer(old)) {
        const keys = index.get(value);
        keys?.delete(key);
        if (keys?.size === 0) index.delete(value);
      }
    }
    return old;
  }
}
