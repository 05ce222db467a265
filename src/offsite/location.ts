/** A place off the cluster where copies live. Five verbs, so that any object store will do. */

/** What a listing says of one object. */
export interface StoredObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** When it was stored, by the location's clock. */
  readonly modifiedAt: Date;
}

export interface ByteRange {
  readonly offset: number;
  /** At least 1. */
  readonly length: number;
}

export interface PutOptions {
  /** The object must not be deleted before then, where the location can lock objects. */
  readonly retainUntil?: Date | undefined;
}

/** Every method throws {ArchiveError} LocationUnavailable, LocationDenied or NoSpace, with the location's URL and what to do. */
export interface Location {
  /** For people: `s3://bucket/prefix`, `dir:/path`. Without credentials. */
  readonly url: string;
  /** Stores an object whole, and confirms its length and checksum; replaces one of the same key. */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void>;
  /** Undefined if the object does not exist. A range that ends beyond the object gives what is there. */
  get(key: string, range?: ByteRange): Promise<Buffer | undefined>;
  head(key: string): Promise<StoredObject | undefined>;
  /** Every object whose key begins with `prefix`, in any order. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** An object that does not exist counts as deleted. */
  delete(key: string): Promise<void>;
  /** Puts off the day from which an object may be deleted; absent where the location locks nothing. */
  retain?(key: string, until: Date): Promise<void>;
}
