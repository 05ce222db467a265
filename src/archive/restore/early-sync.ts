import type { OpenFileSystem } from '../../posix/sync.ts';

/** Bytes that make a sync worthwhile: each one also writes the file system's journal. */
const WORTHWHILE_BYTES = 32 * 1024 * 1024;

type FileSystem = Pick<OpenFileSystem, 'sync'> & Disposable;

/** Brings to disk what is being unpacked while processors decompress, so that the last sync has little left to do. */
export class EarlySync implements Disposable {
  readonly #fileSystem: FileSystem;
  #syncedBytes = 0;
  #closed = false;
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param fileSystem Is closed at the end. */
  constructor(fileSystem: FileSystem) {
    this.#fileSystem = fileSystem;
  }

  /**
   * Starts a sync in the background if there is enough for one.
   *
   * @param bytes Written so far.
   */
  readonly written = (bytes: number): void => {
    if (this.#running || bytes - this.#syncedBytes < WORTHWHILE_BYTES) return;
    this.#syncedBytes = bytes;
    void this.#start();
  };

  /**
   * Brings the rest to disk.
   *
   * @throws EIO when any write since the beginning was lost.
   */
  async finish(): Promise<void> {
    await this.#running;
    if (!this.#closed) await this.#start();
    if (this.#failure) throw this.#failure.error;
  }

  /** Does not wait for the rest of a long system call. */
  [Symbol.dispose](): void {
    this.#closed = true;
    const close = () => this.#fileSystem[Symbol.dispose]();
    if (this.#running) void this.#running.then(close);
    else close();
  }

  #start(): Promise<void> {
    this.#running = this.#fileSystem
      .sync()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .then(() => {
        this.#running = undefined;
      });
    return this.#running;
  }
}
