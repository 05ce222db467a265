import fs from 'node:fs';
import path from 'node:path';
import { FileLock } from '../../posix/file-lock.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import { setTimes } from '../../posix/times.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText, join, toBuffer } from '../format/byte-string.ts';
import { LOCK_NAME } from '../format/names.ts';
import { allowedThreads } from '../pool/allowed-threads.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { DeepPaths } from './deep-paths.ts';
import { messageOf, refused, shown, stateOfAnother } from './failures.ts';
import { HISTORY, rememberDone } from './history.ts';
import type { RestoreJobs } from './jobs.ts';
import {
  CHECK,
  foreignNames,
  type Journal,
  LOCK,
  NEW,
  OLD,
  readJournal,
  removeJournal,
  writeJournal,
} from './journal.ts';
import { type Place, statePlaces } from './place.ts';
import { checkPreservable, findArchives, preserve } from './preserved-archives.ts';
import { removeTree } from './remove-tree.ts';
import { type Failpoint, present } from './swap.ts';
import { thinOut } from './thin-out.ts';

/** At most so many are gone before a thread has started. */
const FEW_DIRECTORIES = 32;

/** The state directory of one target's restore, locked. */
export class RestoreState implements Disposable {
  readonly place: Place;
  readonly #lock: FileLock;

  private constructor(place: Place, lock: FileLock) {
    this.place = place;
    this.#lock = lock;
  }

  /**
   * Creates and locks the state directory.
   *
   * @throws {ArchiveError} Locked when another restore of this target is running; RestoreRefused when the
   *   directory cannot be created, or was created by something else.
   */
  static open(place: Place): RestoreState {
    const { state, target } = place;
    for (;;) {
      try {
        keepingTimes(place, () => fs.mkdirSync(state, 0o700));
      } catch (error) {
        if (codeOf(error) !== 'EEXIST')
          throw refused(`${shown(state)} cannot be created (${messageOf(error)})`, error);
      }
      const stats = fs.lstatSync(state, { throwIfNoEntry: false });
      if (!stats) continue;
      const isDirectory = stats.isDirectory();
      if (isDirectory && stats.uid !== process.geteuid?.()) throw stateOfAnother(state, stats.uid);
      if (!isDirectory || foreignNames(state).length > 0) {
        throw refused(
          `${shown(state)} is needed for the restore, but exists already and was not created by this program. Move it away`,
        );
      }
      try {
        const attempt = FileLock.tryLock(path.join(state, LOCK));
        if (!attempt.acquired) throw locked(`Another restore of ${shown(target)} is running`, attempt.holder);
        return new RestoreState(place, attempt.lock);
      } catch (error) {
        // The last holder has just finished and removed the directory.
        if (codeOf(error) !== 'ENOENT') throw error;
      }
    }
  }

  /** Finds and locks the state that an earlier restore of the target has left. */
  static find(target: string): ({ state: RestoreState; journal: Journal } & Disposable) | undefined {
    for (const place of statePlaces(target)) {
      if (!readJournal(place.state)) continue;
      const state = RestoreState.open(place);
      const journal = readJournal(place.state);
      if (journal) return { state, journal, [Symbol.dispose]: () => state[Symbol.dispose]() };
      state[Symbol.dispose]();
    }
    return undefined;
  }

  get new(): string {
    return path.join(this.place.state, NEW);
  }

  get old(): string {
    return path.join(this.place.state, OLD);
  }

  get journal(): Journal | undefined {
    return readJournal(this.place.state);
  }

  write(journal: Journal): void {
    writeJournal(this.place.state, journal);
  }

  /**
   * Removes both trees and the state itself. A journal must have been written that allows it. May be repeated
   * after an abort or a kill.
   *
   * @param pool Threads that help to delete the trees. Without it, a large one gets its own.
   */
  async remove(failpoint: Failpoint, signal?: AbortSignal, pool?: WorkerPool<RestoreJobs>): Promise<void> {
    const { target, state } = this.place;
    for (const tree of [this.old, this.new, path.join(state, CHECK)]) {
      if (!present(tree)) continue;
      const journal = this.journal;
      // The tree that was live may have got another archive after the swap. Staged copies are not archives.
      const wasLive =
        journal?.phase === 'removing' && tree === (journal.direction === 'forward' ? this.old : this.new);
      const { directories, archives } = await listTree(tree, signal);
      if (wasLive) rescueArchives(archives, tree, target, failpoint);
      failpoint(`remove ${path.basename(tree)}`);
      if (pool || directories.length > FEW_DIRECTORIES) {
        // This thread deletes too.
        await using own = pool ? undefined : new WorkerPool<RestoreJobs>(Math.max(1, allowedThreads() - 1));
        await thinOut(fromText(tree), directories, (pool ?? own)!, signal);
      }
      await removeTree(fromText(tree), signal);
    }
    this.#remember(failpoint);
    failpoint('remove the journal');
    removeJournal(state);
    failpoint('remove the state directory');
    fs.rmSync(path.join(state, LOCK), { force: true });
    this.#lock.release();
    try {
      keepingTimes(this.place, () => fs.rmdirSync(state));
      syncDirectory(path.dirname(state));
    } catch (error) {
      if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'ENOENT') throw error;
    }
  }

  /** Before the journal goes, which says the same until then. A history that exists has every request, in order. */
  #remember(failpoint: Failpoint): void {
    const { journal } = this;
    if (!journal || (!journal.named && !present(path.join(this.place.state, HISTORY)))) return;
    if (!journal.undone && (journal.phase === 'staging' || journal.phase === 'staged')) return;
    const { id, archive, startedAt, direction, undone, staged, mode } = journal;
    failpoint('remember the request');
    rememberDone(this.place.state, {
      id,
      outcome: undone || direction === 'back' ? 'rolledBack' : 'restored',
      archive,
      startedAt,
      ...(mode === 'paths' && { partial: true }),
      ...(staged && { entries: staged.entries, files: staged.files, bytes: staged.bytes }),
    });
  }

  [Symbol.dispose](): void {
    this.#lock.release();
  }
}

/** Creating and removing the state directory inside the target must not change the target's times. */
function keepingTimes({ kind, target }: Place, change: () => void): void {
  const before = kind === 'inside' ? fs.lstatSync(target, { bigint: true }) : undefined;
  change();
  if (!before) return;
  try {
    setTimes(target, before.atimeNs, before.mtimeNs);
  } catch (error) {
    // Only the owner may set them.
    if (codeOf(error) !== 'EPERM') throw error;
  }
}

/** The directories of a tree that is about to be deleted, parents first, and the archives in it. */
async function listTree(
  tree: string,
  signal: AbortSignal | undefined,
): Promise<{ directories: readonly ByteString[]; archives: readonly ByteString[] }> {
  const directories: ByteString[] = [];
  const visit = (directory: ByteString) => directories.push(directory);
  const { files } = await findArchives(fromText(tree), { makeReadable: true, signal, visit });
  return {
    directories,
    archives: files.filter((file) => !file.endsWith(`/${LOCK_NAME}`) && file !== LOCK_NAME),
  };
}

/**
 * Moves archives from a tree that is about to be deleted into the target.
 *
 * @throws {ArchiveError} RestoreFailed when one cannot be moved.
 */
function rescueArchives(
  archives: readonly ByteString[],
  tree: string,
  target: string,
  failpoint: Failpoint,
): void {
  if (archives.length === 0) return;
  using live = new DeepPaths(fromText(target));
  const taken = archives.find((file) => live.lstat(file));
  if (taken === undefined && present(target)) {
    checkPreservable(archives, fromText(tree), fromText(target));
    preserve(archives, fromText(tree), fromText(target), failpoint);
    return;
  }
  throw new ArchiveError(
    'RestoreFailed',
    `${display(join(fromText(tree), taken ?? archives[0]!))} is an archive that was added to the old state after the swap. Move it away, then run the same command again.`,
  );
}

/** Holds the lock of every directory of archives in a tree, so that no backup or prune runs at the same time. */
export class ArchiveLocks implements Disposable {
  readonly #locks: FileLock[] = [];
  readonly #directories: ReadonlySet<ByteString>;

  constructor(root: string, directories: readonly ByteString[]) {
    this.#directories = new Set(directories);
    try {
      for (const directory of directories) this.#take(root, directory);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  includes(directory: ByteString): boolean {
    return this.#directories.has(directory);
  }

  #take(root: string, directory: ByteString): void {
    const inside = directory === '' ? fromText(root) : join(fromText(root), directory);
    using paths = new DeepPaths(fromText(root));
    const attempt = FileLock.tryLock(toBuffer(paths.locate(join(directory, fromText(LOCK_NAME)))));
    if (!attempt.acquired) throw locked(`A backup into ${display(inside)} is running`, attempt.holder);
    this.#locks.push(attempt.lock);
  }

  [Symbol.dispose](): void {
    for (const lock of this.#locks.splice(0)) lock.release();
  }
}

function locked(
  what: string,
  holder: { host: string; pid: number; since: string } | undefined,
): ArchiveError {
  const who = holder ? ` (pid ${holder.pid} on ${holder.host} since ${holder.since})` : '';
  return new ArchiveError('Locked', `${what}${who}. Nothing was changed; try again when it has ended.`);
}
