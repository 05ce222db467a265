import fs from 'node:fs';
import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { tryCall } from './libc.ts';
import { nodePath } from './node-path.ts';
import { type RawPath, SystemError } from './system-error.ts';

// asm-generic/fcntl.h and sys/file.h: the same on x64 and arm64.
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
const F_UNLCK = 2;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const POLL_MS = 200;

/** Who holds a lock, as the holder wrote it into the file. For messages only: the kernel decides. */
export type LockHolder = { readonly host: string; readonly pid: number; readonly since: string };

export type LockAttempt =
  | { readonly acquired: true; readonly lock: FileLock }
  /** `holder` is unknown if it could not write to the file, or is just releasing the lock. */
  | { readonly acquired: false; readonly holder: LockHolder | undefined };

/**
 * An exclusive lock that the kernel releases when its holder dies, so there are no stale locks. It belongs to
 * the open file description: two attempts in one process exclude each other too. Over NFS it works between
 * nodes. The file is never removed, because two holders could then lock different inodes.
 */
export class FileLock implements Disposable {
  readonly path: RawPath;
  #fd: number | undefined;

  private constructor(path: RawPath, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /**
   * Tries once, without waiting.
   *
   * @throws A system error when the file cannot be created or the file system has no locks (ENOLCK).
   */
  static tryLock(path: RawPath): LockAttempt {
    for (;;) {
      const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW;
      const fd = fs.openSync(nodePath(path), flags, 0o644);
      try {
        if (!lockDescriptor(fd, path)) {
          const holder = readHolder(fd);
          fs.closeSync(fd);
          return { acquired: false, holder };
        }
        if (isStillAt(fd, path)) {
          writeHolder(fd);
          return { acquired: true, lock: new FileLock(path, fd) };
        }
      } catch (error) {
        fs.closeSync(fd);
        throw error;
      }
      fs.closeSync(fd);
    }
  }

  /**
   * Tries until the lock is free.
   *
   * @param options `waitMs`: 0 tries once. `signal`: throws its reason when aborted.
   */
  static async lock(path: RawPath, options: { waitMs: number; signal?: AbortSignal }): Promise<LockAttempt> {
    const deadline = performance.now() + options.waitMs;
    for (;;) {
      options.signal?.throwIfAborted();
      const attempt = FileLock.tryLock(path);
      const left = deadline - performance.now();
      if (attempt.acquired || left <= 0) return attempt;
      // Jitter keeps waiters from polling in step.
      const pause = Math.min(left, POLL_MS * (0.5 + Math.random()));
      await sleep(pause, undefined, options.signal ? { signal: options.signal } : {}).catch(
        (error: unknown) => {
          options.signal?.throwIfAborted();
          throw error;
        },
      );
    }
  }

  get held(): boolean {
    return this.#fd !== undefined;
  }

  /**
   * For the `stdio` of a child process: a child that inherits it holds the lock too. If this process is killed,
   * the lock lasts until the child ends.
   */
  get descriptor(): number {
    if (this.#fd === undefined) throw new Error('the lock was released');
    return this.#fd;
  }

  /** Releases the lock, also for children that inherited it. Calling it again does nothing. */
  release(): void {
    const fd = this.#fd;
    if (fd === undefined) return;
    this.#fd = undefined;
    try {
      fs.ftruncateSync(fd);
    } catch {
      // The file then names a former holder. Only messages would show it.
    }
    unlockDescriptor(fd);
    fs.closeSync(fd);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** struct flock: the whole file, from its start. */
function wholeFile(type: number): Buffer {
  const lock = Buffer.alloc(32);
  lock.writeInt16LE(type, 0);
  return lock;
}

function lockDescriptor(fd: number, path: RawPath): boolean {
  const answer = tryCall('fcntl', fd, F_OFD_SETLK, wholeFile(F_WRLCK));
  if ('result' in answer) return true;
  const error = new SystemError('fcntl', answer.errno, path);
  if (error.code === 'EAGAIN' || error.code === 'EACCES') return false;
  // A kernel without OFD locks (some sandboxes): every process on it uses flock instead.
  if (error.code === 'EINVAL') return flockDescriptor(fd, path);
  throw error;
}

function flockDescriptor(fd: number, path: RawPath): boolean {
  const answer = tryCall('flock', fd, LOCK_EX | LOCK_NB);
  if ('result' in answer) return true;
  const error = new SystemError('flock', answer.errno, path);
  if (error.code === 'EAGAIN') return false;
  throw error;
}

/** Closing is not enough where a child has inherited the descriptor. */
function unlockDescriptor(fd: number): void {
  const answer = tryCall('fcntl', fd, F_OFD_SETLK, wholeFile(F_UNLCK));
  if ('errno' in answer) tryCall('flock', fd, LOCK_UN);
}

function isStillAt(fd: number, path: RawPath): boolean {
  const mine = fs.fstatSync(fd, { bigint: true });
  const there = fs.lstatSync(nodePath(path), { bigint: true, throwIfNoEntry: false });
  return there !== undefined && there.ino === mine.ino && there.dev === mine.dev;
}

function writeHolder(fd: number): void {
  const holder: LockHolder = { host: os.hostname(), pid: process.pid, since: new Date().toISOString() };
  try {
    fs.ftruncateSync(fd);
    fs.writeSync(fd, `${JSON.stringify(holder)}\n`, 0);
  } catch {
    // The lock works without it, even on a full disk.
  }
}

function readHolder(fd: number): LockHolder | undefined {
  try {
    const buffer = Buffer.alloc(1024);
    const text = buffer.toString('utf8', 0, fs.readSync(fd, buffer, 0, buffer.length, 0));
    const { host, pid, since } = JSON.parse(text) as Partial<LockHolder>;
    return typeof host === 'string' && typeof pid === 'number' && typeof since === 'string'
      ? {
          host: host.replace(/[^\w.-]/g, '?').slice(0, 253),
          pid,
          since: since.replace(/[^\w:.+-]/g, '?').slice(0, 40),
        }
      : undefined;
  } catch {
    return undefined;
  }
}
