import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { syncFileSystem } from '../../posix/sync.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText } from '../format/byte-string.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import { allowedThreads } from '../pool/allowed-threads.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import type { RestoreJobs } from './jobs.ts';
import { type Journal, readJournal } from './journal.ts';
import { describeUsers, findUsers } from './open-files.ts';
import { type Place, placeOf, statePlaces } from './place.ts';
import { checkPreservable, findArchives, type PreservedArchives } from './preserved-archives.ts';
import type { RestorePhase, RestoreProgress } from './progress.ts';
import { removeTree } from './remove-tree.ts';
import { type Source, sourceOf } from './source.ts';
import { check, type StageOptions, stage, type Totals, type Validated, validate } from './stage.ts';
import { ArchiveLocks, RestoreState } from './state.ts';
import { completeSwap, type Failpoint, inodeOf, isKeptName, namesIn, present, rootMetadata } from './swap.ts';
import { lackOfSpace, type RestorePolicy, spaceNeeded } from './validate.ts';

export interface RestoreOptions {
  readonly archive: string;
  readonly target: string;
  /** Names this request: repeated after a crash, it is completed or found done. Default: one of its own. */
  readonly id?: string | undefined;
  readonly policy: RestorePolicy;
  readonly ignoreManifest?: boolean;
  /** Go on although processes write below the target. */
  readonly ignoreWriters?: boolean;
  /** Keep the old state until `commitRestore` or `rollbackRestore`, or remove it once the new one lives. */
  readonly oldState: 'keep' | 'remove';
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly threads?: number | undefined;
  readonly now: () => Date;
  readonly progress?: ((progress: RestoreProgress) => void) | undefined;
  /** Tests see, and may die at, each change on disk. */
  readonly failpoint?: Failpoint;
  /** Tests: how to swap, in place of what the target asks for. */
  readonly swap?: 'exchange' | 'rename' | 'children';
}

export type RestoreReport = RestoreDone | RestoreFound;

/** An earlier run of this restore had got so far that only its end was left to do, or nothing. */
export interface RestoreFound {
  readonly outcome: 'completed' | 'already-restored';
  readonly target: string;
  readonly archivesKept: number;
  readonly oldState: string | undefined;
}

export interface RestoreDone {
  readonly outcome: 'restored' | 'would-restore';
  readonly target: string;
  readonly against: Source['against'];
  /** Why there was no manifest to compare with. */
  readonly note: string | undefined;
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
  readonly warnings: RestoreWarnings;
  /** Archives found in the target, which live on in the new state. */
  readonly archivesKept: number;
  /** Where the old state is kept; undefined where there was none, or it was removed. */
  readonly oldState: string | undefined;
}

export interface RestoreWarnings {
  readonly count: number;
  /** The first few, bounded and escaped. */
  readonly samples: readonly string[];
}

const MAX_SAMPLES = 20;

/**
 * Replaces a directory by what an archive holds. Until the swap begins nothing in the target changes, and any
 * failure leaves no trace; once it has begun, a rerun completes it. Throws ArchiveError.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { signal } = options;
  const failpoint = options.failpoint ?? (() => {});
  const id = options.id ?? randomUUID();
  const archive = path.resolve(options.archive);
  if (options.dryRun) refuseAfterUnfinished(options.target);
  else {
    const earlier = finishEarlier(options, archive, failpoint);
    if (earlier) return earlier;
  }

  const warnings = new Warnings();
  const source = sourceOf(archiveInfo(archive), options.ignoreManifest ?? false);
  const place = options.swap ? placeFor(options.swap, placeOf(options.target)) : placeOf(options.target);
  refuseUsers(place, options);
  const found = archivesIn(place);
  const stageOptions: StageOptions = {
    policy: options.policy,
    owner: process.geteuid?.() === 0,
    signal,
    warn: warnings.add,
    progress: options.progress ?? (() => {}),
  };
  // One CPU is this thread's, which unpacks too.
  await using pool = new WorkerPool<RestoreJobs>(Math.max(1, (options.threads ?? allowedThreads()) - 1));
  if (source.against === 'manifest') pool.warm();
  const validated = await validate(source, stageOptions);
  const { totals } = validated;
  if (totals.entries === 0) {
    throw new ArchiveError(
      'ArchiveCorrupt',
      `${archive}: it holds nothing, which no backup does. Nothing was changed.`,
    );
  }
  checkSpace(place, totals);
  const base = {
    target: place.target,
    against: source.against,
    note: source.against === 'structure' ? source.why : undefined,
    entries: totals.entries,
    files: totals.files,
    bytes: totals.dataBytes,
    archivesKept: found.files.length,
  };
  if (options.dryRun) {
    if (source.against === 'manifest') await check(source, validated, stageOptions, pool);
    return { ...base, outcome: 'would-restore', warnings: warnings.summary, oldState: undefined };
  }

  using state = RestoreState.open(place);
  const other = state.journal;
  if (other && other.phase !== 'staging') throw refused(`${describe(other, place)} Do one of these first`);
  const journal: Journal = {
    version: 1,
    id,
    target: place.target,
    archive,
    startedAt: options.now().toISOString(),
    phase: 'staging',
    direction: 'forward',
    mode: options.swap ?? (place.kind === 'inside' ? 'children' : place.exists ? 'exchange' : 'rename'),
    oldState: isEmpty(place) ? 'remove' : options.oldState,
    hasOutgoing: place.exists,
    hasIncoming: true,
    incomingNames: [],
    moved: false,
    preservedArchives: [],
  };
  let swapping: Journal;
  let locks: ArchiveLocks | undefined;
  try {
    discardTrees(state);
    failpoint('journal staging');
    state.write(journal);
    await stageTree({ source, validated }, state, stageOptions, pool, failpoint);
    signal?.throwIfAborted();
    locks = new ArchiveLocks(place.target, found.directories);
    swapping = prepareSwap(state, journal, found.directories, options);
    failpoint('journal swapping');
    state.write(swapping);
  } catch (error) {
    locks?.[Symbol.dispose]();
    throw await discard(state, pool, failpoint, stagingError(error, place));
  }
  try {
    tellPhase('swapping', totals, stageOptions);
    const swapped = swap(state, swapping, failpoint);
    if (swapped.phase === 'removing') tellPhase('removing the old state', totals, stageOptions);
    const kept = settle(state, swapped, failpoint);
    return { ...base, outcome: 'restored', warnings: warnings.summary, oldState: kept };
  } finally {
    locks[Symbol.dispose]();
  }
}

/** Deletes the old state that a restore kept. Completes the swap first, where that was interrupted. */
export function commitRestore(target: string, failpoint: Failpoint = () => {}): string {
  using found = required(target);
  const journal = completed(found.state, found.journal, failpoint);
  if (journal.phase === 'staging') return nothingSwapped(found.state, failpoint);
  if (journal.phase === 'swapped') {
    failpoint('journal removing');
    found.state.write({ ...journal, phase: 'removing' });
  }
  found.state.remove(failpoint);
  return journal.direction === 'forward'
    ? `${journal.target}: the restore of ${journal.archive} is final; the old state was removed.`
    : `${journal.target}: the old state is back; the restored one was removed.`;
}

/** Swaps the old state in again and deletes the restored one. Archives made meanwhile are kept. */
export function rollbackRestore(
  target: string,
  options: { ignoreWriters?: boolean; failpoint?: Failpoint } = {},
): string {
  const failpoint = options.failpoint ?? (() => {});
  using found = required(target);
  const { state } = found;
  const journal = completed(state, found.journal, failpoint);
  if (journal.phase === 'staging') return nothingSwapped(state, failpoint);
  if (journal.direction === 'back') {
    state.remove(failpoint);
    return `${journal.target}: the old state is back; the restored one was removed.`;
  }
  if (journal.phase === 'removing') {
    state.remove(failpoint);
    throw new ArchiveError(
      'RestoreRefused',
      `${journal.target}: there is no old state any more to go back to.`,
    );
  }
  refuseUsers(state.place, options);
  const { files, directories } = findArchives(fromText(journal.target), RESTORE_STATE_NAME);
  using _locks = new ArchiveLocks(journal.target, directories);
  checkPreservable(files, fromText(state.old));
  const names = journal.mode === 'children' ? namesIn(state.old) : [];
  const back: Journal = {
    ...journal,
    phase: 'swapping',
    direction: 'back',
    incomingInode: inodeOf(state.old),
    incomingNames: names,
    moved: false,
    preservedArchives: [...files],
  };
  failpoint('journal swapping');
  state.write(back);
  completeSwap(state.place, back, failpoint);
  state.remove(failpoint);
  return `${journal.target}: the old state is back; the restored one was removed.`;
}

/** Completes what an interrupted restore, commit or rollback began. */
export function resumeRestore(target: string, failpoint: Failpoint = () => {}): string {
  using found = required(target);
  const journal = completed(found.state, found.journal, failpoint);
  if (journal.phase === 'staging') return nothingSwapped(found.state, failpoint);
  if (journal.phase === 'removing') {
    found.state.remove(failpoint);
    return `${journal.target}: completed; nothing is left to do.`;
  }
  return describe(journal, found.state.place);
}

export interface RestoreStatus {
  readonly phase: Journal['phase'] | 'none';
  readonly text: string;
}

/** What lies unfinished or kept for a target. Changes nothing and takes no lock. */
export function restoreStatus(target: string): RestoreStatus {
  for (const place of statePlaces(target)) {
    const journal = readJournal(place.state);
    if (journal) return { phase: journal.phase, text: describe(journal, place) };
  }
  return {
    phase: 'none',
    text: `${path.resolve(target)}: no restore is unfinished, and no old state is kept.`,
  };
}

function describe(journal: Journal, place: Place): string {
  const of = `restore of ${journal.archive}, begun ${journal.startedAt}`;
  switch (journal.phase) {
    case 'staging':
      return `${journal.target}: a ${of}, ended before the swap. The target is wholly old. --resume clears what was staged.`;
    case 'swapping':
      return `${journal.target}: the swap of a ${of}, is unfinished. --resume completes it, --rollback undoes it.`;
    case 'swapped':
      return `${journal.target}: wholly new, by a ${of}. The old state is kept in ${path.join(place.state, 'old')} until --commit or --rollback.`;
    case 'removing':
      return `${journal.target}: complete (a ${of}); removal of the other state is unfinished. --resume completes it.`;
  }
}

/** Deals with what an earlier run left. A report where that was this very restore. */
function finishEarlier(
  options: RestoreOptions,
  archive: string,
  failpoint: Failpoint,
): RestoreFound | undefined {
  const found = RestoreState.find(options.target);
  if (!found) return undefined;
  using state = found.state;
  const wasSwapping = found.journal.phase === 'swapping' && found.journal.direction === 'forward';
  const journal = completed(state, found.journal, failpoint);
  const same =
    options.id === undefined ? wasSwapping && journal.archive === archive : journal.id === options.id;
  if (journal.phase === 'staging' || (journal.phase === 'removing' && !same)) {
    state.remove(failpoint);
    return undefined;
  }
  if (journal.direction === 'back') {
    state.remove(failpoint);
    return undefined;
  }
  if (!same) throw refused(`${describe(journal, state.place)} Do one of these first`);
  const kept = settle(state, journal, failpoint);
  return {
    outcome: wasSwapping ? 'completed' : 'already-restored',
    target: journal.target,
    archivesKept: journal.preservedArchives.length,
    oldState: kept,
  };
}

/** As `finishEarlier` would, without doing anything. */
function refuseAfterUnfinished(target: string): void {
  for (const place of statePlaces(target)) {
    const journal = readJournal(place.state);
    if (journal?.direction === 'forward' && (journal.phase === 'swapping' || journal.phase === 'swapped')) {
      throw refused(`${describe(journal, place)} Do one of these first`);
    }
  }
}

/** Where not even the first step can be done, the swap is given up and leaves no trace. */
function swap(state: RestoreState, journal: Journal, failpoint: Failpoint): Journal {
  try {
    return completeSwap(state.place, journal, failpoint);
  } catch (error) {
    if (!isUntouched(state, journal)) throw swapError(error, state.place);
    state.write({ ...journal, phase: 'staging' });
    state.remove(failpoint);
    throw stagingError(error, state.place);
  }
}

function isUntouched(state: RestoreState, journal: Journal): boolean {
  if (!present(state.new)) return false;
  if (journal.mode !== 'children') return !present(state.old) && inodeOf(state.new) === journal.incomingInode;
  const arriving = new Set<string>(namesIn(state.new));
  return (
    (!present(state.old) || namesIn(state.old).length === 0) &&
    journal.incomingNames.every((name) => arriving.has(name))
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

function nothingSwapped(state: RestoreState, failpoint: Failpoint): string {
  const { target } = state.place;
  state.remove(failpoint);
  return `${target}: the restore had not begun to swap, so the target is as it was; what was staged is removed.`;
}

/** After the swap: keeps the old state and returns its place, or removes it. */
function settle(state: RestoreState, journal: Journal, failpoint: Failpoint): string | undefined {
  if (journal.phase !== 'swapped') {
    state.remove(failpoint);
    return undefined;
  }
  // What is left of a tree that moved in child by child: its empty shell.
  if (present(state.new)) removeTree(fromText(state.new));
  return state.old;
}

/** An empty directory is no state worth keeping. */
function isEmpty(place: Place): boolean {
  return place.exists && namesIn(place.target).every(isKeptName);
}

function refuseUsers(place: Place, { ignoreWriters }: { ignoreWriters?: boolean }): void {
  if (!place.exists || ignoreWriters) return;
  const users = findUsers(place.target);
  if (users.length === 0) return;
  throw refused(
    `${place.target} is in use: ${describeUsers(users)}. Stop what uses it, or pass --ignore-writers and lose what it writes`,
  );
}

function archivesIn(place: Place): PreservedArchives {
  return place.exists
    ? findArchives(fromText(place.target), RESTORE_STATE_NAME)
    : { directories: [], files: [] };
}

function checkSpace(place: Place, totals: Totals): void {
  const volume = fs.statfsSync(
    place.exists && place.kind === 'inside' ? place.target : path.dirname(place.target),
  );
  // Some file systems (ramfs, a few of FUSE) do not tell.
  const free = {
    bytes: volume.blocks > 0 ? volume.bavail * volume.bsize : undefined,
    inodes: volume.files > 0 ? volume.ffree : undefined,
  };
  const lack = lackOfSpace(spaceNeeded(totals), free);
  if (lack === undefined) return;
  throw new ArchiveError(
    'NoSpace',
    `refused: ${lack} on the file system of ${place.target}. Nothing was changed. Free space, or restore elsewhere.`,
  );
}

async function stageTree(
  { source, validated }: { source: Source; validated: Validated },
  state: RestoreState,
  options: StageOptions,
  pool: WorkerPool<RestoreJobs>,
  failpoint: Failpoint,
): Promise<void> {
  const { place } = state;
  failpoint('make the staging directory');
  fs.mkdirSync(state.new, 0o700);
  if (place.exists) {
    // Where the archive does not tell how its root looks, it stays as it is.
    const { mode, uid, gid } = rootMetadata(place.target);
    if (options.owner) fs.lchownSync(state.new, uid, gid);
    fs.chmodSync(state.new, mode | 0o700);
  } else {
    fs.chmodSync(state.new, 0o755);
  }
  failpoint('unpack');
  await stage(source, validated, state.new, options, pool);
  failpoint('sync');
  tellPhase('syncing', validated.totals, options);
  syncFileSystem(place.state);
}

/** A phase in which nothing is counted, for all that is counted is done. */
function tellPhase(phase: RestorePhase, { files }: Totals, { progress }: StageOptions): void {
  progress({ phase, files, ofFiles: files });
}

/** The last look before anything changes. */
function prepareSwap(
  state: RestoreState,
  journal: Journal,
  locked: readonly ByteString[],
  options: RestoreOptions,
): Journal {
  const { place } = state;
  refuseUsers(place, options);
  // Once more, under the archives' locks: a backup may have ended since.
  const { files, directories } = archivesIn(place);
  if (directories.some((directory) => !locked.includes(directory))) {
    throw refused(`a backup wrote a first archive into ${place.target} meanwhile. Run again`);
  }
  checkPreservable(files, fromText(state.new));
  return {
    ...journal,
    phase: 'swapping',
    preservedArchives: [...files],
    incomingInode: inodeOf(state.new),
    incomingNames: journal.mode === 'children' ? namesIn(state.new).filter((name) => !isKeptName(name)) : [],
    ...(journal.mode === 'children'
      ? { rootBefore: rootMetadata(place.target), rootAfter: rootMetadata(state.new) }
      : {}),
  };
}

async function discard(
  state: RestoreState,
  pool: WorkerPool<RestoreJobs>,
  failpoint: Failpoint,
  reason: unknown,
): Promise<unknown> {
  // Threads may still write into what is to be removed.
  await pool[Symbol.asyncDispose]();
  try {
    state.remove(failpoint);
  } catch (error) {
    return new AggregateError(
      [reason, error],
      `${reason instanceof Error ? reason.message : reason}; what was staged in ${state.place.state} could not be removed`,
    );
  }
  return reason;
}

function discardTrees(state: RestoreState): void {
  for (const tree of [state.new, state.old]) {
    if (present(tree)) removeTree(fromText(tree));
  }
}

function stagingError(error: unknown, place: Place): unknown {
  if (!isSystemError(error)) return error;
  const code = codeOf(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new ArchiveError(
    full ? 'NoSpace' : 'RestoreFailed',
    `unpacking beside ${place.target} failed (${error instanceof Error ? error.message : code}). Nothing was changed${full ? '; free space and run again' : ''}.`,
    { cause: error },
  );
}

function swapError(error: unknown, place: Place): unknown {
  if (error instanceof ArchiveError && error.reason !== 'Internal') return error;
  return new ArchiveError(
    'RestoreFailed',
    `${place.target}: the swap stopped half-way (${error instanceof Error ? error.message : error}). Run \`km-backup restore --resume ${place.target}\` to complete it, or --rollback to undo it; both trees are complete in ${place.target} and ${place.state}.`,
    { cause: error },
  );
}

function placeFor(swap: 'exchange' | 'rename' | 'children', place: Place): Place {
  return swap === 'children'
    ? { ...place, kind: 'inside', state: path.join(place.target, RESTORE_STATE_NAME) }
    : place;
}

function required(target: string): { state: RestoreState; journal: Journal } & Disposable {
  const found = RestoreState.find(target);
  if (!found) throw refused(`${path.resolve(target)} has no restore that is unfinished or kept`);
  return { ...found, [Symbol.dispose]: () => found.state[Symbol.dispose]() };
}

function refused(what: string): ArchiveError {
  return new ArchiveError('RestoreRefused', `refused: ${what}. Nothing was changed.`);
}

class Warnings {
  #count = 0;
  readonly #samples: string[] = [];

  readonly add = (at: ByteString, message: string): void => {
    this.#count++;
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push(`${display(at)}: ${message}`);
  };

  get summary(): RestoreWarnings {
    return { count: this.#count, samples: this.#samples };
  }
}
