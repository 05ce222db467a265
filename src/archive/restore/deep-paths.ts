import fs from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import { type ByteString, join, ROOT, toPath } from '../format/byte-string.ts';

const { O_DIRECTORY, O_NOFOLLOW } = fs.constants;
/** asm-generic/fcntl.h: only to reach what lies below, so it takes no permission to read. */
const O_PATH = 0o10000000;

/** Longer paths are reached through descriptors. The kernel's own limit, PATH_MAX, is 4,096 bytes. */
const MAX_DIRECT = 1024;
/** Roughly the bytes of path between two open directories. */
const STRIDE = 512;

interface OpenDirectory {
  /** Below the root; '' is the root. */
  readonly path: ByteString;
  readonly fd: number;
}

/**
 * Reaches the entries of one tree, however long their paths are. Directories along the last long path stay
 * open, about one per 512 bytes of it, so that walking a deep tree costs little per entry.
 */
export class DeepPaths implements Disposable {
  readonly root: ByteString;
  readonly #open: OpenDirectory[] = [];

  constructor(root: ByteString) {
    this.root = root;
  }

  /**
   * A path for system calls, valid until the next call of this method.
   *
   * @param path Relative to the root; its parents must be directories.
   */
  locate(path: ByteString): ByteString {
    if (path === ROOT) return this.root;
    if (this.root.length + path.length < MAX_DIRECT) return join(this.root, path);
    const parentEnd = Math.max(0, path.lastIndexOf('/'));
    const nearest = this.#openNear(path, parentEnd);
    return below(nearest, path);
  }

  /** As `locate`, in the form that node:fs takes. */
  at(path: ByteString): string | Buffer {
    return toPath(this.locate(path));
  }

  /** @returns Undefined when the entry or a directory above it does not exist. */
  lstat(path: ByteString): fs.Stats | undefined {
    try {
      return fs.lstatSync(this.at(path), { throwIfNoEntry: false });
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#open.splice(0)) fs.closeSync(fd);
  }

  /** Opens directories on the way to the parent until the rest of the path is short. */
  #openNear(path: ByteString, parentEnd: number): OpenDirectory {
    while (this.#open.length > 0 && !leadsTo(this.#open.at(-1)!, path)) fs.closeSync(this.#open.pop()!.fd);
    let top = this.#open.at(-1) ?? this.#push(ROOT, toPath(this.root));
    // The stops depend on the path alone, so paths with a common start share them.
    for (let from = top.path.length; parentEnd - from > STRIDE; from = top.path.length) {
      let end = path.lastIndexOf('/', from + STRIDE);
      if (end <= from) end = path.indexOf('/', from + 1);
      if (end === -1 || end > parentEnd) break;
      const directory = path.slice(0, end) as ByteString;
      top = this.#push(directory, toPath(below(top, directory)));
    }
    return top;
  }

  #push(path: ByteString, location: string | Buffer): OpenDirectory {
    // The root was resolved before; below it nothing may lead elsewhere.
    const flags = O_PATH | O_DIRECTORY | (path === ROOT ? 0 : O_NOFOLLOW);
    const opened = { path, fd: fs.openSync(location, flags) };
    this.#open.push(opened);
    return opened;
  }
}

function leadsTo({ path: directory }: OpenDirectory, path: ByteString): boolean {
  return directory === ROOT || (path[directory.length] === '/' && path.startsWith(directory));
}

function below({ path: directory, fd }: OpenDirectory, path: ByteString): ByteString {
  const rest = directory === ROOT ? path : path.slice(directory.length + 1);
  return `/proc/self/fd/${fd}/${rest}` as ByteString;
}
