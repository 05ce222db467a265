import type { KubeObject } from './resources.ts';

/** Values under which an object is found. */
export type Indexer<T> = (object: T) => readonly string[];

/** `namespace/name`, or the name alone of what has no namespace. */
export function keyOf(object: { metadata: Pick<KubeObject['metadata'], 'namespace' | 'name'> }): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** Objects of one kind as last seen, by key and by index. */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: [name: string, indexer: Indexer<T>][];
  readonly #indexes = new Map<string, Map<string, Map<string, T>>>();

  constructor(indexers: Record<string, Indexer<T>> = {}) {
    this.#indexers = Object.entries(indexers);
    for (const [name] of this.#indexers) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (!values) throw new Error(`no index ${index}`);
    return [...(values.get(value)?.values() ?? [])];
  }

  /** Puts the object in the place of the one with its key, and answers with that one. */
  set(object: T): T | undefined {
    const key = keyOf(object);
    const old = this.delete(key);
    this.#objects.set(key, object);
    for (const [name, indexer] of this.#indexers) {
      const index = this.#indexes.get(name)!;
      for (const value of indexer(object)) {
        const bucket = index.get(value) ?? new Map<string, T>();
        bucket.set(key, object);
        index.set(value, bucket);
      }
    }
    return old;
  }

  delete(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#objects.delete(key);
    for (const [name, indexer] of this.#indexers) {
      const index = this.#indexes.get(name)!;
      for (const value of indexer(old)) {
        const bucket = index.get(value);
        bucket?.delete(key);
        if (bucket?.size === 0) index.delete(value);
      }
    }
    return old;
  }
}
