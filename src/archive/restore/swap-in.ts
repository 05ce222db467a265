import fs from 'node:fs';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, fromText } from '../format/byte-string.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { checkSwap } from './check-swap.ts';
import { ancestorsOf, placesOf } from './chosen-paths.ts';
import { messageOf, refusedForNow, shown, swapError } from './failures.ts';
import { giveUpSwap, refuseUsers, settle } from './finish.ts';
import type { RestoreJobs } from './jobs.ts';
import type { Journal } from './journal.ts';
import { isKeptName } from './kept-names.ts';
import type { Place } from './place.ts';
import { checkPreservable, findArchivesAnd, type PreservedArchives } from './preserved-archives.ts';
import type { RestorePhase } from './progress.ts';
import { rootMetadata } from './root-metadata.ts';
import { ArchiveLocks, type RestoreState } from './state.ts';
import { completeSwap, type Failpoint, inodeOf, namesIn, rootTimesOf } from './swap.ts';

export const noArchives: PreservedArchives = { directories: [], files: [] };

export interface SwapInOptions {
  readonly ignoreWriters?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly failpoint: Failpoint;
  /** Threads that help to delete the old state. */
  readonly pool?: WorkerPool<RestoreJobs>;
  readonly startPhase: (phase: RestorePhase) => void;
}

/** A staged tree that may go live, with the archives in the target locked. */
export interface ReadyToSwap extends Disposable {
  readonly journal: Journal;
}

/**
 * The last checks before anything changes, and the locks that keep backups out until the swap is over.
 *
 * @param known Archives that the target had when the restore began.
 * @throws {ArchiveError} RestoreRefused, or Locked while a backup into the target is running.
 */
export async function prepareSwap(
  state: RestoreState,
  journal: Journal,
  options: SwapInOptions,
  known?: PreservedArchives,
): Promise<ReadyToSwap> {
  const { place } = state;
  const search = async () =>
    place.exists ? await findArchivesAnd(journal.archive, place.target, options.signal) : noArchives;
  // With none before, there is nothing to lock, so that one search is enough.
  const isFree = known?.directories.length === 0;
  const locks = new ArchiveLocks(place.target, isFree ? [] : (await search()).directories);
  try {
    refuseUsers(place, options);
    // Now that the archives are locked: a backup may have ended since.
    const { files, directories } = await search();
    if (directories.some((directory) => !locks.includes(directory))) {
      if (isFree) {
        locks[Symbol.dispose]();
        return await prepareSwap(state, journal, options);
      }
      throw refusedForNow(`a backup has just written a first archive into ${shown(place.target)}. Run again`);
    }
    return {
      journal: swapping(state, journal, files),
      [Symbol.dispose]: () => locks[Symbol.dispose](),
    };
  } catch (error) {
    locks[Symbol.dispose]();
    throw error;
  }
}

function swapping(state: RestoreState, journal: Journal, archives: readonly ByteString[]): Journal {
  const { place } = state;
  if (journal.mode === 'paths') return swappingPaths(state, journal, archives);
  checkPreservable(archives, fromText(place.target), fromText(state.new));
  const byChildren = journal.mode === 'children';
  return {
    ...journal,
    phase: 'swapping',
    modes: checkSwap(place, journal.mode, state.new),
    preservedArchives: [...archives],
    incomingInode: inodeOf(state.new),
    incomingNames: byChildren ? namesIn(state.new).filter((name) => !isKeptName(name)) : [],
    ...(byChildren
      ? { rootBefore: rootMetadata(place.target), rootAfter: rootMetadata(state.new) }
      : { rootTimes: rootTimesOf(place.exists ? place.target : undefined, state.new) }),
  };
}

function swappingPaths(state: RestoreState, journal: Journal, archives: readonly ByteString[]): Journal {
  const { place } = state;
  // Now, because directories may have been made or removed since it was staged.
  const places = placesOf((journal.paths ?? []) as ByteString[], place.target);
  const moving = new Set(places);
  const preserved = archives.filter(
    (file) => moving.has(file) || ancestorsOf(file).some((at) => moving.has(at)),
  );
  checkPreservable(preserved, fromText(place.target), fromText(state.new));
  return {
    ...journal,
    phase: 'swapping',
    modes: checkSwap(place, 'paths', state.new, places),
    preservedArchives: preserved,
    incomingInode: inodeOf(state.new),
    incomingNames: places,
    outgoingNames: places,
  };
}

/**
 * Swaps the staged tree in.
 *
 * @param journal As `prepareSwap` made it, and written.
 * @returns Where the old state is kept, if it is.
 */
export async function swapIn(
  state: RestoreState,
  journal: Journal,
  { failpoint, signal, pool, startPhase }: SwapInOptions,
): Promise<string | undefined> {
  startPhase('swapping');
  const swapped = await swap(state, journal, failpoint);
  if (swapped.phase === 'removing' && hasOldState(state)) startPhase('removing the old state');
  return await settle(state, swapped, { failpoint, signal, ...(pool && { pool }) });
}

/** Completes the swap; one that fails is undone and leaves no trace. */
async function swap(state: RestoreState, journal: Journal, failpoint: Failpoint): Promise<Journal> {
  const { place } = state;
  try {
    return completeSwap(place, journal, failpoint);
  } catch (error) {
    const reached = state.journal ?? journal;
    if (reached.moved) throw swapError(error, place);
    giveUpSwap(state, reached, failpoint);
    await state.remove(failpoint);
    if (error instanceof ArchiveError) throw error;
    throw new ArchiveError(
      'RestoreFailed',
      `${shown(place.target)}: the swap failed (${messageOf(error)}) and was undone. Nothing was changed. Remove that obstacle and run again.`,
      { cause: error },
    );
  }
}

/** A target that is new, or was empty, has left none. */
function hasOldState({ old }: RestoreState): boolean {
  try {
    return holdsOther(old, () => false);
  } catch (error) {
    return codeOf(error) !== 'ENOENT';
  }
}

/** An empty directory is not worth keeping. */
export function isEmpty(place: Place): boolean {
  return place.exists && !holdsOther(place.target, isKeptName);
}

/** Reads no further than to the first other name: there may be a million. */
function holdsOther(directory: string, isIgnored: (name: string) => boolean): boolean {
  using names = fs.opendirSync(directory);
  for (let entry = names.readSync(); entry; entry = names.readSync()) {
    if (!isIgnored(entry.name)) return true;
  }
  return false;
}
