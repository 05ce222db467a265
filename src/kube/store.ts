import { IndexedObjects, type Indexer, type Packing } from './indexed-objects.ts';
import { isOlder, type KubeObject, keyOf } from './object.ts';

export interface Change<T> {
  type: 'added' | 'updated' | 'deleted';
  object: T;
}

export interface StoreOptions<T extends KubeObject> {
  indexers?: Record<string, Indexer<T>>;
  packing?: Packing<T>;
  /** Drops what nobody reads. By default only `metadata.managedFields`, which is often half of an object. */
  trim?: (object: T) => T;
  /** Called after each change, whether a watch or this process's own write brought it. */
  onChange?: (change: Change<T>) => void;
}

/** An object to delete, as it was seen. */
export interface DeleteTarget {
  name: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
}

/** More deletions than can happen while one write of this process is under way. */
const REMEMBERED_DELETIONS = 1_000;

/** Takes in a list that is being read. Holds for what the store had when the list began. */
export interface ListIntake<T> {
  put(object: T): void;
  /** The list is complete: what it did not name is gone. */
  complete(): void;
  /** Must be called in any case, also after `complete`. */
  end(): void;
}

/**
 * Objects of one kind as this process knows them: what lists and watches brought, and what it wrote itself. An object
 * is never replaced by an older version of it, so that a decision never starts from a state before this process's own
 * last write.
 */
export class Store<T extends KubeObject> {
  readonly #objects: IndexedObjects<T>;
  readonly #trim: (object: T) => T;
  readonly #onChange: (change: Change<T>) => void;
  readonly #writeListeners = new Set<(metadata: KubeObject['metadata']) => void>();
  /** UIDs that a watch or list lately told to be gone: the answer to a write may arrive after that. */
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

  /** Takes in an object that a watch brought. */
  put(raw: T): void {
    const known = this.#objects.get(keyOf(raw));
    if (known && isOlder(raw.metadata.resourceVersion, known.metadata.resourceVersion)) return;
    this.#replace(known, raw);
  }

  /** Takes in a deletion that a watch brought; `last` is the object in its last state. */
  remove(last: T): void {
    const known = this.#objects.get(keyOf(last));
    // Another object has taken the name since.
    if (known && known.metadata.uid !== last.metadata.uid && !isOlder(versionOf(known), versionOf(last)))
      return;
    this.#drop(keyOf(last), last);
  }

  /**
   * Begins to take in a list. A list is the truth about everything that was here when it began, even where its
   * versions are older: etcd may have been restored from a backup.
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

  /** Takes in the answer to a create or an update of this process. */
  wrote(answer: T): void {
    this.#noteWrite(answer.metadata);
    if (!this.#gone.has(answer.metadata.uid)) this.put(answer);
  }

  /**
   * The API server accepted this process's deletion of the object as it was seen: until the watch confirms it, the
   * object counts as being deleted.
   * @param at RFC 3339.
   */
  wroteDeletion(target: DeleteTarget, at: string): void {
    const known = this.#objects.get(keyOf({ metadata: target }));
    if (known?.metadata.uid !== target.uid || versionOf(known) !== target.resourceVersion) return;
    this.#noteWrite(known.metadata);
    this.#set({ ...known, metadata: { ...known.metadata, deletionTimestamp: at } });
  }

  /** Tells the listener of every object that this process wrote; the answer ends that. */
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

  /** @param last Its state, for the case that it was never here. */
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
