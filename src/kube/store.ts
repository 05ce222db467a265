import { IndexedObjects, type Indexer, type Packing } from './indexed-objects.ts';
import { isOlder, type KubeObject, keyOf } from './object.ts';

export interface Change<T> {
  type: 'added' | 'updated' | 'deleted';
  object: T;
}

export interface StoreOptions<T extends KubeObject> {
  indexers?: Record<string, Indexer<T>>;
  packing?: Packing<T>;
  /** Drops fields that nobody reads. Default: only `metadata.managedFields`, which is often half of an object. */
  trim?: (object: T) => T;
  /** Called after each change, whether a watch or this process's own write brought it. */
  onChange?: (change: Change<T>) => void;
}

/** An object to delete, and the version that the decision was based on. */
export interface DeleteTarget {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
}

/** More deletions than can happen during one write of this process. */
const REMEMBERED_DELETIONS = 1_000;

/** Replaces what the store had when a list began with the objects of that list, as they arrive. */
export interface ListIntake<T> {
  put(object: T): void;
  /** Ends a complete list: removes the objects that it did not contain. */
  complete(): void;
  /** Must always be called, even after `complete` or a failure. */
  end(): void;
}

/**
 * Objects of one kind from lists, watches, and the answers to this process's own writes. An older version never replaces
 * a newer one, so a decision always sees this process's own last write.
 */
export class Store<T extends KubeObject> {
  readonly #objects: IndexedObjects<T>;
  readonly #trim: (object: T) => T;
  readonly #onChange: (change: Change<T>) => void;
  readonly #writeListeners = new Set<(metadata: KubeObject['metadata']) => void>();
  /** UIDs of objects that were lately deleted: the answer to an earlier write may still arrive. */
  readonly #gone = new Set<string>();
  /** Keys written by this process since each list that is under way began. */
  readonly #writtenDuring = new Set<Set<string>>();

  constructor({ indexers, packing, trim, onChange }: StoreOptions<T> = {}) {
    this.#objects = new IndexedObjects(indexers, packing);
    this.#trim = trim ?? withoutManagedFields;
    this.#onChange = onChange ?? (() => {});
  }

  get size(): number {
    return this.#objects.size;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return this.#objects.list();
  }

  keys(): IterableIterator<string> {
    return this.#objects.keys();
  }

  byIndex(index: string, value: string): T[] {
    return this.#objects.byIndex(index, value);
  }

  /** Adds or updates an object from a watch. */
  put(raw: T): void {
    const known = this.#objects.get(keyOf(raw));
    if (known && isOlder(raw.metadata.resourceVersion, known.metadata.resourceVersion)) return;
    this.#replace(known, raw);
  }

  /** Removes an object that a watch reported as deleted. `last` is its last state. */
  remove(last: T): void {
    const known = this.#objects.get(keyOf(last));
    // Another object has this name now.
    if (known && known.metadata.uid !== last.metadata.uid && !isOlder(versionOf(known), versionOf(last)))
      return;
    this.#drop(keyOf(last), last);
  }

  /**
   * Begins a list. It replaces everything that the store had before it, even newer versions: etcd may have been restored
   * from a backup.
   * @param namespace Undefined: the list covers all namespaces.
   */
  beginList(namespace: string | undefined): ListIntake<T> {
    const unseen = new Set<string>();
    for (const key of this.#objects.keys())
      if (namespace === undefined || key.startsWith(`${namespace}/`)) unseen.add(key);
    const written = new Set<string>();
    this.#writtenDuring.add(written);
    return {
      put: (raw) => {
        const key = keyOf(raw);
        unseen.delete(key);
        if (written.has(key)) this.put(raw);
        else this.#replace(this.#objects.get(key), raw);
      },
      complete: () => {
        const failures: unknown[] = [];
        for (const key of unseen) {
          if (written.has(key)) continue;
          try {
            this.#drop(key);
          } catch (error) {
            failures.push(error);
          }
        }
        if (failures.length > 0) throw failures[0];
      },
      end: () => void this.#writtenDuring.delete(written),
    };
  }

  /** Adds the answer to this process's create or update. */
  wrote(answer: T): void {
    this.#noteWrite(answer.metadata);
    if (!this.#gone.has(answer.metadata.uid)) this.put(answer);
  }

  /**
   * Records that the API server accepted this process's deletion: until the watch confirms it, the object counts as being
   * deleted, so it is not deleted twice.
   * @param at RFC 3339.
   */
  wroteDeletion(target: DeleteTarget, at: string): void {
    const known = this.#objects.get(keyOf({ metadata: target }));
    if (known?.metadata.uid !== target.uid || versionOf(known) !== target.resourceVersion) return;
    this.#noteWrite(known.metadata);
    this.#set({ ...known, metadata: { ...known.metadata, deletionTimestamp: at } });
  }

  /**
   * Calls the listener for every object that this process writes.
   * @returns A function that removes the listener.
   */
  onWrite(listener: (metadata: KubeObject['metadata']) => void): () => void {
    this.#writeListeners.add(listener);
    return () => void this.#writeListeners.delete(listener);
  }

  #noteWrite(metadata: KubeObject['metadata']): void {
    for (const written of this.#writtenDuring) written.add(keyOf({ metadata }));
    for (const listener of this.#writeListeners) listener(metadata);
  }

  #replace(known: T | undefined, raw: T): void {
    const sameObject = known?.metadata.uid === raw.metadata.uid;
    if (known && sameObject && versionOf(known) === versionOf(raw)) return;
    const object = this.#trim(raw);
    if (known && !sameObject) this.#drop(keyOf(raw));
    this.#set(object);
  }

  #set(object: T): void {
    const replaced = this.#objects.set(object);
    this.#onChange({ type: replaced ? 'updated' : 'added', object });
  }

  /** @param last Its last state, if the store never had it. */
  #drop(key: string, last?: T): void {
    const object = this.#objects.delete(key) ?? (last && this.#trim(last));
    if (!object) return;
    this.#gone.add(object.metadata.uid);
    const [oldest] = this.#gone;
    if (oldest !== undefined && this.#gone.size > REMEMBERED_DELETIONS) this.#gone.delete(oldest);
    this.#onChange({ type: 'deleted', object });
  }
}

const versionOf = ({ metadata }: KubeObject) => metadata.resourceVersion;

function withoutManagedFields<T extends KubeObject>(object: T): T {
  const { managedFields, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown };
  return managedFields === undefined ? object : { ...object, metadata };
}
