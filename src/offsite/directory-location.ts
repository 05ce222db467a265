/** A location on a directory: an NFS share, a mounted disk, or the tests' own. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs/promises';
import path from 'node:path';
import { ArchiveError } from '../archive/index.ts';
import { codeOf } from '../posix/system-error.ts';
import type { ByteRange, Location, StoredObject } from './location.ts';

const TEMPORARY = '.km-put-';

export class DirectoryLocation implements Location {
  readonly url: string;
  readonly #root: string;

  constructor(directory: string) {
    this.#root = path.resolve(directory);
    this.url = `dir:${this.#root}`;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const file = this.#fileOf(key);
    const temporary = path.join(path.dirname(file), TEMPORARY + randomBytes(8).toString('hex'));
    try {
      await fs.mkdir(path.dirname(file), { recursive: true });
      const handle = await fs.open(temporary, 'wx', 0o640);
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await fs.rename(temporary, file);
      await syncDirectory(path.dirname(file));
    } catch (error) {
      await fs.rm(temporary, { force: true }).catch(() => {});
      throw this.#failure('write', key, error);
    }
  }

  async get(key: string, range?: ByteRange): Promise<Buffer | undefined> {
    try {
      if (!range) return await fs.readFile(this.#fileOf(key));
      const handle = await fs.open(this.#fileOf(key));
      try {
        const bytes = Buffer.alloc(range.length);
        const { bytesRead } = await handle.read(bytes, 0, range.length, range.offset);
        return bytes.subarray(0, bytesRead);
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw this.#failure('read', key, error);
    }
  }

  async head(key: string): Promise<StoredObject | undefined> {
    try {
      const { size, mtime } = await fs.stat(this.#fileOf(key));
      return { key, sizeBytes: size, modifiedAt: mtime };
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw this.#failure('look at', key, error);
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    yield* this.#listBelow(prefix.slice(0, prefix.lastIndexOf('/') + 1), prefix);
  }

  async *#listBelow(folder: string, prefix: string): AsyncGenerator<StoredObject> {
    let entries: Awaited<ReturnType<typeof readEntries>>;
    try {
      entries = await readEntries(path.join(this.#root, folder));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw this.#failure('list', folder, error);
    }
    for (const entry of entries) {
      const key = folder + entry.name;
      if (entry.isDirectory()) {
        if (`${key}/`.startsWith(prefix) || prefix.startsWith(`${key}/`))
          yield* this.#listBelow(`${key}/`, prefix);
      } else if (entry.isFile() && key.startsWith(prefix) && !entry.name.startsWith(TEMPORARY)) {
        const object = await this.head(key);
        if (object) yield object;
      }
    }
  }

  async delete(key: string): Promise<void> {
    try {
      await fs.rm(this.#fileOf(key), { force: true });
    } catch (error) {
      throw this.#failure('delete', key, error);
    }
  }

  #fileOf(key: string): string {
    return path.join(this.#root, ...key.split('/'));
  }

  #failure(verb: string, key: string, error: unknown): unknown {
    const code = codeOf(error);
    if (code === undefined) return error;
    const what = `${this.url}: cannot ${verb} ${key} (${code}).`;
    const cause = { cause: error };
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      return new ArchiveError('NoSpace', `${what} Free space there, or prune copies.`, cause);
    }
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      return new ArchiveError(
        'LocationDenied',
        `${what} Check its owner, its mode and how it is mounted.`,
        cause,
      );
    }
    return new ArchiveError('LocationUnavailable', `${what} Check that it is mounted.`, cause);
  }
}

async function readEntries(directory: string) {
  const entries = await fs.readdir(directory, { withFileTypes: true });
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fs.open(directory, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network file systems cannot sync a directory.
    if (codeOf(error) !== 'EINVAL' && codeOf(error) !== 'ENOTSUP') throw error;
  } finally {
    await handle.close();
  }
}
