import path from 'node:path';
import { ArchiveError } from '../errors.ts';
import { type ByteString, fromText, join, toPath } from '../format/byte-string.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { checkSwap } from './check-swap.ts';
import { refused, refusedForNow, shown, swapError } from './failures.ts';
import { type DoneRequest, findDone } from './history.ts';
import type { RestoreJobs } from './jobs.ts';
import { type Journal, readJournal, type StagedTotals } from './journal.ts';
import { describeUsers, findUsers } from './open-files.ts';
import { type Place, statePlaces } from './place.ts';
import { checkPreservable, findArchives } from './preserved-archives.ts';
import { removeTree } from './remove-tree.ts';
import { ArchiveLocks, RestoreState } from './state.ts';
import { describe, stillStaged, unfinished } from './status.ts';
import { completeSwap, type Failpoint, inodeOf, namesIn, present, rootTimesOf, undoSwap } from './swap.ts';

export interface FinishOptions {
  /** Only what this request has left; undefined: whatever is left. */
  readonly id?: string | undefined;
  readonly failpoint?: Failpoint;
  /** Stops the removal of a tree; `resumeRestore` completes it later. A swap always runs to its end. */
  readonly signal?: AbortSignal | undefined;
  /** Threads that help to delete the old state. */
  readonly pool?: WorkerPool<RestoreJobs>;
}

/** Deletes the old state that a restore kept. Completes an interrupted swap first. */
export async function commitRestore(target: string, options: FinishOptions = {}): Promise<string> {
  using found = find(target, options.id);
  if (!found) return doneBefore(target, options.id, 'restored');
  const failpoint = options.failpoint ?? (() => {});
  if (found.journal.phase === 'staged') throw stillStaged(found.journal, found.state.place);
  const journal = completed(found.state, found.journal, failpoint);
  if (journal.phase === 'staging') return await nothingSwapped(found.state, options);
  if (journal.phase === 'swapped') {
    failpoint('journal removing');
    found.state.write({ ...journal, phase: 'removing' });
  }
  await found.state.remove(failpoint, options.signal);
  return journal.direction === 'forward'
    ? `${shown(journal.target)}: the restore of ${shown(journal.archive)} is final; the old state was removed.`
    : oldStateIsBack(journal);
}

/**
 * Swaps the old state in again and deletes the restored one. Archives written since are kept. An unfinished
 * swap is undone, which moves back only what was moved.
 */
export async function rollbackRestore(
  target: string,
  options: FinishOptions & { readonly ignoreWriters?: boolean } = {},
): Promise<string> {
  using found = find(target, options.id);
  if (!found) return doneBefore(target, options.id, 'rolledBack');
  const { state, journal } = found;
  const failpoint = options.failpoint ?? (() => {});
  if (journal.phase === 'staging' || journal.phase === 'staged') return await nothingSwapped(state, options);
  if (journal.direction === 'back') {
    completed(state, journal, failpoint);
    await state.remove(failpoint, options.signal);
    return oldStateIsBack(journal);
  }
  if (journal.phase === 'swapping' && !journal.moved) {
    giveUpSwap(state, { ...journal, undone: true }, failpoint);
    await state.remove(failpoint, options.signal);
    return oldStateIsBack(journal);
  }
  if (journal.phase === 'removing' || !present(state.old)) {
    completed(state, journal, failpoint);
    await state.remove(failpoint, options.signal);
    throw new ArchiveError(
      'RestoreRefused',
      `${shown(journal.target)}: the old state no longer exists, so there is nothing to go back to.`,
    );
  }
  refuseUsers(state.place, options);
  await swapBack(state, journal, options);
  await state.remove(failpoint, options.signal);
  return oldStateIsBack(journal);
}

async function swapBack(
  state: RestoreState,
  journal: Journal,
  { failpoint = () => {}, signal }: FinishOptions,
): Promise<void> {
  const live = fromText(journal.target);
  const found = await findArchives(live, { signal });
  const files = [...new Set([...found.files, ...(journal.preservedArchives as ByteString[])])];
  checkPreservable(files, live, fromText(state.old));
  const swapped = (journal.incomingNames ?? []) as ByteString[];
  const kept = swapped.filter((name) => present(toPath(join(fromText(state.old), name))));
  const modes = checkSwap(state.place, journal.mode, state.old, swapped);
  using _locks = new ArchiveLocks(journal.target, found.directories);
  const back: Journal = {
    ...journal,
    phase: 'swapping',
    direction: 'back',
    incomingInode: inodeOf(state.old),
    incomingNames: journal.mode === 'children' ? namesIn(state.old) : journal.mode === 'paths' ? kept : [],
    ...(journal.mode === 'paths' ? { outgoingNames: swapped } : {}),
    ...(journal.mode === 'children' || journal.mode === 'paths'
      ? {}
      : { rootTimes: rootTimesOf(present(journal.target) ? journal.target : undefined, state.old) }),
    moved: false,
    modes,
    preservedArchives: files,
  };
  failpoint('journal swapping');
  state.write(back);
  try {
    completeSwap(state.place, back, failpoint);
  } catch (error) {
    if (!tryUndo(state, failpoint)) throw swapError(error, state.place);
    state.write(journal);
    throw new ArchiveError(
      'RestoreFailed',
      `${shown(journal.target)}: the rollback failed (${error instanceof Error ? error.message : error}) and was undone: the restored tree is live, the old state is still kept. Remove that obstacle and run --rollback again.`,
      { cause: error },
    );
  }
}

/**
 * Removes what was staged and never went live. An unfinished swap is undone. Does nothing if nothing is there.
 *
 * @throws {ArchiveError} RestoreRefused when the restored tree is live already.
 */
export async function discardRestore(
  target: string,
  options: FinishOptions & { readonly ignoreWriters?: boolean } = {},
): Promise<string> {
  using found = RestoreState.find(target);
  const { id } = options;
  if (!found || (id !== undefined && found.journal.id !== id)) {
    return `${shown(path.resolve(target))}: nothing is staged${id === undefined ? '' : ' by this request'}.`;
  }
  const { journal, state } = found;
  const { phase, direction } = journal;
  if (phase === 'staging' || phase === 'staged') return await nothingSwapped(state, options);
  if (phase === 'swapping' || direction === 'back') {
    found[Symbol.dispose]();
    return await rollbackRestore(target, options);
  }
  throw refused(
    `${describe(journal, state.place)} There is nothing to discard: use --rollback to go back, --commit to delete the old state`,
  );
}

/** Completes what an interrupted restore, commit or rollback began. */
export async function resumeRestore(target: string, options: FinishOptions = {}): Promise<string> {
  using found = find(target, options.id);
  if (!found) return doneBefore(target, options.id, undefined);
  const failpoint = options.failpoint ?? (() => {});
  if (found.journal.phase === 'staged') throw stillStaged(found.journal, found.state.place);
  const journal = completed(found.state, found.journal, failpoint);
  if (journal.phase === 'staging') return await nothingSwapped(found.state, options);
  if (journal.phase === 'removing') {
    await found.state.remove(failpoint, options.signal);
    return `${shown(journal.target)}: completed; nothing is left to do.`;
  }
  return describe(journal, found.state.place);
}

/** What an earlier run of the same request had left to do. */
export interface EarlierRun {
  /** `staged`: its tree is complete and was not swapped in. */
  readonly outcome: 'completed' | 'already-restored' | 'staged';
  readonly target: string;
  readonly archivesKept: number;
  readonly oldState: string | undefined;
  /** Unknown for restores of earlier versions. */
  readonly staged: StagedTotals | undefined;
}

/**
 * Deals with what an earlier run left.
 *
 * @param request Its id, or its archive if it has none.
 * @returns What was done if that run was this very request; undefined when a new restore may begin.
 * @throws {ArchiveError} RestoreRefused when another restore's old state is kept, AlreadyRolledBack when this
 *   request was restored and rolled back.
 */
export async function finishEarlier(
  target: string,
  request: { readonly id: string | undefined; readonly archive: string },
  options: FinishOptions,
): Promise<EarlierRun | undefined> {
  const found = RestoreState.find(target);
  if (!found) return fromHistory(target, request.id);
  using state = found.state;
  const failpoint = options.failpoint ?? (() => {});
  const wasSwapping = found.journal.phase === 'swapping' && found.journal.direction === 'forward';
  const journal = completed(state, found.journal, failpoint);
  const same =
    request.id === undefined ? wasSwapping && journal.archive === request.archive : journal.id === request.id;
  if (journal.phase === 'staged') {
    if (!same) throw unfinished(journal, state.place);
    return earlierRun('staged', journal, undefined);
  }
  const superseded =
    journal.phase === 'staging' || journal.direction === 'back' || (journal.phase === 'removing' && !same);
  if (superseded) {
    await state.remove(failpoint, options.signal);
    return fromHistory(target, request.id);
  }
  if (!same) throw unfinished(journal, state.place);
  const outcome = wasSwapping ? 'completed' : 'already-restored';
  return earlierRun(outcome, journal, await settle(state, journal, options));
}

function earlierRun(
  outcome: EarlierRun['outcome'],
  { target, preservedArchives, staged }: Journal,
  oldState: string | undefined,
): EarlierRun {
  return { outcome, target, archivesKept: preservedArchives.length, oldState, staged };
}

/** A request that was done once is never done again by itself, however long ago it was. */
function fromHistory(target: string, id: string | undefined): EarlierRun | undefined {
  const done = requestDone(target, id);
  if (!done) return undefined;
  if (done.outcome === 'rolledBack') {
    throw new ArchiveError(
      'AlreadyRolledBack',
      `refused: the request ${shown(done.id)} (restore of ${shown(done.archive)}, started ${done.startedAt}) was done before and then rolled back. Nothing was changed. To restore again, pass another --id.`,
    );
  }
  const { entries, files, bytes } = done;
  return {
    outcome: 'already-restored',
    target: path.resolve(target),
    archivesKept: 0,
    oldState: undefined,
    staged:
      entries === undefined || files === undefined || bytes === undefined
        ? undefined
        : { entries, files, bytes, reusedBytes: 0, warnings: { count: 0, samples: [] } },
  };
}

function requestDone(target: string, id: string | undefined): DoneRequest | undefined {
  if (id === undefined) return undefined;
  return findDone(
    statePlaces(target).map(({ state }) => state),
    id,
  );
}

/** Refuses as `finishEarlier` would, without doing anything. */
export function refuseAfterUnfinished(target: string, id: string | undefined): void {
  for (const place of statePlaces(target)) {
    const journal = readJournal(place.state);
    if (journal?.direction !== 'forward' || !refusedPhases.has(journal.phase)) continue;
    const own = journal.phase === 'staged' && journal.id === id;
    if (!own) throw unfinished(journal, place);
  }
}

const refusedPhases: ReadonlySet<Journal['phase']> = new Set(['staged', 'swapping', 'swapped']);

/** After the swap: keeps the old state and returns its place, or removes it. */
export async function settle(
  state: RestoreState,
  journal: Journal,
  { failpoint = () => {}, signal, pool }: FinishOptions,
): Promise<string | undefined> {
  if (journal.phase !== 'swapped') {
    await state.remove(failpoint, signal, pool);
    return undefined;
  }
  // A tree that moved in child by child leaves an empty directory.
  if (present(state.new)) await removeTree(fromText(state.new));
  return state.old;
}

/**
 * Undoes an unfinished swap and marks what was staged for removal.
 *
 * @throws {ArchiveError} RestoreFailed when something cannot be moved back; this may then be repeated.
 */
export function giveUpSwap(state: RestoreState, journal: Journal, failpoint: Failpoint): void {
  try {
    undoSwap(state.place, journal, failpoint);
  } catch (error) {
    throw swapError(error, state.place);
  }
  failpoint('journal staging');
  state.write({ ...journal, phase: 'staging' });
}

/** @returns Whether everything is where it was before the swap. */
function tryUndo(state: RestoreState, failpoint: Failpoint): boolean {
  const { journal } = state;
  if (!journal || journal.moved) return false;
  try {
    undoSwap(state.place, journal, failpoint);
    return true;
  } catch {
    return false;
  }
}

export function refuseUsers(place: Place, { ignoreWriters }: { ignoreWriters?: boolean }): void {
  if (!place.exists || ignoreWriters) return;
  const users = findUsers(place.target);
  if (users.length === 0) return;
  throw refusedForNow(
    `${shown(place.target)} is in use: ${describeUsers(users)}. Stop what uses it, or pass --ignore-writers and lose what it writes`,
  );
}

function completed(state: RestoreState, journal: Journal, failpoint: Failpoint): Journal {
  if (journal.phase !== 'swapping') return journal;
  try {
    return completeSwap(state.place, journal, failpoint);
  } catch (error) {
    throw swapError(error, state.place);
  }
}

async function nothingSwapped(
  state: RestoreState,
  { failpoint = () => {}, signal }: FinishOptions,
): Promise<string> {
  const { target } = state.place;
  await state.remove(failpoint, signal);
  return `${shown(target)}: the restore had not begun to swap, so the target is unchanged; what was staged was removed.`;
}

function oldStateIsBack({ target }: Journal): string {
  return `${shown(target)}: the old state is back; the restored one was removed.`;
}

/**
 * What a restore has left, of the given request only.
 *
 * @throws {ArchiveError} RestoreRefused when something of another request is left.
 */
function find(
  target: string,
  id: string | undefined,
): ({ state: RestoreState; journal: Journal } & Disposable) | undefined {
  const found = RestoreState.find(target);
  if (!found || id === undefined || found.journal.id === id) return found;
  found[Symbol.dispose]();
  if (requestDone(target, id)) return undefined;
  throw refused(
    `${describe(found.journal, found.state.place)} It belongs to the request ${shown(found.journal.id)}, not to ${shown(id)}`,
  );
}

/** Nothing is left to finish: a request that was given by its id may have ended like this before. */
function doneBefore(target: string, id: string | undefined, as: DoneRequest['outcome'] | undefined): string {
  const done = requestDone(target, id);
  const at = shown(path.resolve(target));
  if (!done) throw refused(`${at} has no unfinished restore and no kept old state`);
  const ended =
    done.outcome === 'restored'
      ? 'the restored tree is final and the old state was removed'
      : 'the old state is back and the restored one was removed';
  if (as !== undefined && done.outcome !== as) {
    throw refused(`${at}: the request ${shown(done.id)} ended before: ${ended}`);
  }
  return `${at}: nothing is left to do; ${ended}.`;
}
