import fs from 'node:fs';
import type { ByteString } from '../format/byte-string.ts';
import { toPath } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { Admission } from './entry-gate.ts';
import { Pauses } from './pauses.ts';
import type { StageOptions } from './stage-options.ts';
import { TreeWriter } from './tree-writer.ts';

/** A tree that is being unpacked: everything in it except the contents of files. */
export class StagedTree implements Disposable {
  readonly root: string;
  readonly writer: TreeWriter;
  readonly #directories = new Map<ByteString, Entry | undefined>();
  readonly #symlinks: Entry[] = [];
  readonly #hardlinks: Entry[] = [];

  constructor(root: string, { owner, warn }: Pick<StageOptions, 'owner' | 'warn'>) {
    this.root = root;
    this.writer = new TreeWriter(root, { owner, warn });
  }

  /**
   * Creates an entry, or notes it for `finish`. Files are left to the caller.
   *
   * @returns The entry; undefined if it is left out.
   */
  add(admission: Admission): Entry | undefined {
    if (admission.kind === 'skip') return undefined;
    const { entry, implied } = admission;
    for (const path of implied) {
      this.writer.directory(path);
      this.#directories.set(path, undefined);
    }
    switch (entry.type) {
      case 'directory':
        if (entry.path !== '' && !this.#directories.has(entry.path)) this.writer.directory(entry.path);
        this.#directories.set(entry.path, entry);
        break;
      case 'fifo':
        this.writer.fifo(entry);
        break;
      case 'symlink':
        this.#symlinks.push(entry);
        break;
      case 'hardlink':
        this.#hardlinks.push(entry);
        break;
      default:
        break;
    }
    return entry;
  }

  /** Creates the links, then sets the metadata of directories. */
  async finish(signal: AbortSignal | undefined): Promise<void> {
    const pauses = new Pauses(signal);
    for (const entry of this.#symlinks) {
      this.writer.symlink(entry);
      if (pauses.due) await pauses.take();
    }
    for (const entry of this.#hardlinks) {
      this.writer.hardlink(entry);
      if (pauses.due) await pauses.take();
    }
    // Parents were noted before what they hold, so backwards is deepest first.
    for (const [path, entry] of [...this.#directories].reverse()) {
      if (entry) this.writer.finishDirectory(entry);
      else fs.chmodSync(toPath(this.writer.locate(path)), 0o755);
      if (pauses.due) await pauses.take();
    }
  }

  [Symbol.dispose](): void {
    this.writer[Symbol.dispose]();
  }
}
