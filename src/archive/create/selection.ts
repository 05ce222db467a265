import { closeSync, constants, readSync } from 'node:fs';
import { openAt } from '../../posix/beneath.ts';
import { type FileStatus, statusOfOpen } from '../../posix/status.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { type ByteString, ROOT } from '../format/byte-string.ts';
import { isOwnName, isTemporaryName, LOCK_NAME, RESTORE_STATE_NAME } from '../format/names.ts';
import type { Patterns } from './patterns.ts';

export interface SelectionOptions {
  readonly exclude?: Patterns | undefined;
  readonly include?: Patterns | undefined;
  /** This run's destination. It is left out wherever it appears: a pod may mount one volume twice. */
  readonly destination?: Pick<FileStatus, 'device' | 'ino'> | undefined;
  /**
   * The destination is the source itself, or holds files of the user's own. Only this output and what km-backup wrote
   * there are left out.
   */
  readonly sharedDestination?: { readonly outputNames: readonly string[] } | undefined;
}

/** What km-backup keeps of a directory: everything, everything but its own files, or nothing. */
export type DirectoryRole = 'data' | 'shared' | 'destination';

/** A lock names its holder in a line of JSON, and is empty while nobody holds it. */
const MAX_LOCK_BYTES = 1024;

/** Decides what an archive leaves out. */
export class Selection {
  readonly #options: SelectionOptions;
  readonly #hasPatterns: boolean;

  constructor(options: SelectionOptions) {
    this.#options = options;
    this.#hasPatterns = options.exclude !== undefined || options.include !== undefined;
  }

  /** Whether a directory is only this run's destination, so that it need not be opened. */
  isDestination(status: FileStatus): boolean {
    return !this.#options.sharedDestination && this.#isHere(status);
  }

  /**
   * A directory that holds our lock is a destination, and archives must not contain archives. Files of the user's own
   * in it are still backed up.
   */
  roleOf(path: ByteString, status: FileStatus, fd: number, names: readonly string[]): DirectoryRole {
    if (this.#isHere(status)) return 'shared';
    if (!names.includes(LOCK_NAME) || !isOurLock(fd)) return 'data';
    return path !== ROOT && names.every(isOurs) ? 'destination' : 'shared';
  }

  /** Whether an entry is left out, apart from destinations. */
  leavesOut(path: ByteString, name: ByteString, role: DirectoryRole, { mode }: FileStatus): boolean {
    if (role === 'shared' ? this.#isOurs(name) : isTemporaryName(name)) {
      if ((mode & constants.S_IFMT) === constants.S_IFREG) return true;
    }
    return this.#hasPatterns && this.#excludes(path, (mode & constants.S_IFMT) === constants.S_IFDIR);
  }

  #excludes(path: ByteString, isDirectory: boolean): boolean {
    const { exclude } = this.#options;
    return exclude?.matches(path, isDirectory) || (!isDirectory && !this.includes(path, false));
  }

  /** The state of an unfinished restore, which is not part of the data. */
  isRestoreState(path: ByteString): boolean {
    return path === RESTORE_STATE_NAME;
  }

  /** Whether the path is included itself, or by a directory above it. */
  includes(path: ByteString, isDirectory: boolean): boolean {
    const { include } = this.#options;
    if (!include) return true;
    if (path === ROOT) return false;
    if (include.matches(path, isDirectory)) return true;
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      if (include.matches(path.slice(0, slash) as ByteString, true)) return true;
    }
    return false;
  }

  #isHere({ device, ino }: FileStatus): boolean {
    const { destination } = this.#options;
    return destination?.ino === ino && destination.device === device;
  }

  #isOurs(name: string): boolean {
    return isOurs(name) || this.#options.sharedDestination?.outputNames.includes(name) === true;
  }
}

/** Archives, manifests, the lock, temporaries, and the state of `km-backup serve`. */
function isOurs(name: string): boolean {
  return isOwnName(name) || name.startsWith('.km-backup-');
}

function isOurLock(directory: number): boolean {
  let fd: number;
  try {
    fd = openAt(directory, LOCK_NAME, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    // Another user's lock. Taking it for ours costs nobody a file of their own.
    return codeOf(error) === 'EACCES';
  }
  try {
    const { mode, size } = statusOfOpen(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG || size > MAX_LOCK_BYTES) return false;
    const bytes = Buffer.alloc(size);
    return looksLikeHolder(bytes.toString('utf8', 0, readSync(fd, bytes, 0, size, 0)));
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  } finally {
    closeSync(fd);
  }
}

function looksLikeHolder(text: string): boolean {
  if (text === '') return true;
  try {
    const holder: unknown = JSON.parse(text);
    return typeof holder === 'object' && holder !== null && 'host' in holder && 'pid' in holder;
  } catch {
    return false;
  }
}
