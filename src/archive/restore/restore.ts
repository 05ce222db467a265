import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { hasCapability } from '../../posix/capabilities.ts';
import { syncFileSystem } from '../../posix/sync.ts';
import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText } from '../format/byte-string.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import { allowedThreads } from '../pool/allowed-threads.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { checkSwap } from './check-swap.ts';
import type { RestorePolicy } from './entry-gate.ts';
import { messageOf, refused, shown, stagingError, swapError } from './failures.ts';
import {
  type EarlierRun,
  finishEarlier,
  giveUpSwap,
  refuseAfterUnfinished,
  refuseUsers,
  settle,
  unfinished,
} from './finish.ts';
import type { RestoreJobs } from './jobs.ts';
import type { Journal } from './journal.ts';
import { isKeptName } from './kept-names.ts';
import { checkPlace, type Place, placeOf } from './place.ts';
import { checkPreservable, findArchivesAnd, type PreservedArchives } from './preserved-archives.ts';
import type { RestorePhase, RestoreProgress } from './progress.ts';
import { removeTree } from './remove-tree.ts';
import { rootMetadata } from './root-metadata.ts';
import { type Source, sourceOf } from './source.ts';
import { checkSpace } from './space.ts';
import { check, stage } from './stage.ts';
import type { StageOptions } from './stage-options.ts';
import { ArchiveLocks, RestoreState } from './state.ts';
import { completeSwap, type Failpoint, inodeOf, namesIn, present } from './swap.ts';
import { checkNames, type Totals, type Validated, validate } from './validate.ts';

export interface RestoreOptions {
  readonly archive: string;
  readonly target: string;
  /** Names this request: repeated after a crash, it is completed or found done. Default: a random id. */
  readonly id?: string | undefined;
  readonly policy: RestorePolicy;
  readonly ignoreManifest?: boolean;
  /** Continue even if processes write below the target. */
  readonly ignoreWriters?: boolean;
  /** Keep the old state until `commitRestore` or `rollbackRestore`, or remove it once the new one is live. */
  readonly oldState: 'keep' | 'remove';
  readonly dryRun?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly threads?: number | undefined;
  readonly now: () => Date;
  readonly progress?: ((progress: RestoreProgress) => void) | undefined;
  /** For tests: called before each change on disk. */
  readonly failpoint?: Failpoint;
  /** For tests: how to swap, instead of what the target requires. */
  readonly swap?: Journal['mode'];
}

/** `EarlierRun`: an earlier run of this restore had left only its end to do, or nothing. */
export type RestoreReport = RestoreDone | EarlierRun;

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
  /** Files of archives found in the target, which are preserved in the new state. */
  readonly archivesKept: number;
  /** Where the old state is kept; undefined when there was none, or it was removed. */
  readonly oldState: string | undefined;
}

export interface RestoreWarnings {
  readonly count: number;
  /** The first few, bounded and escaped. */
  readonly samples: readonly string[];
}

const MAX_SAMPLES = 20;
const noArchives: PreservedArchives = { directories: [], files: [] };

/**
 * Replaces a directory with the contents of an archive. Until the swap begins nothing in the target changes, and a
 * failure leaves no trace. A swap that fails is undone; one that is killed can be completed or undone later.
 *
 * @throws {ArchiveError} RestoreRefused, NoSpace, Locked, ArchiveCorrupt or ManifestInvalid when nothing was
 *   changed; RestoreFailed with what to do next.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { signal, dryRun } = options;
  const failpoint = options.failpoint ?? (() => {});
  const archive = path.resolve(options.archive);
  if (dryRun) refuseAfterUnfinished(options.target);
  else {
    const earlier = await finishEarlier(options.target, { id: options.id, archive }, { failpoint, signal });
    if (earlier) return earlier;
  }

  const warnings = new Warnings();
  const source = sourceOf(archiveInfo(archive), options.ignoreManifest ?? false);
  const place = placeFor(options.swap, placeOf(options.target));
  const mode = options.swap ?? (place.kind === 'inside' ? 'children' : place.exists ? 'exchange' : 'rename');
  checkPlace(place);
  refuseUsers(place, options);
  checkSwap(place, mode, undefined);
  const found = place.exists ? await findArchivesAnd(archive, place.target, signal) : noArchives;
  checkPreservable(found.files, fromText(place.target), undefined);
  const stageOptions: StageOptions = {
    policy: options.policy,
    owner: ownsFiles(),
    signal,
    warn: warnings.add,
    progress: options.progress ?? (() => {}),
    preserved: found.files,
  };
  // This thread unpacks too.
  await using pool = new WorkerPool<RestoreJobs>(Math.max(1, (options.threads ?? allowedThreads()) - 1));
  if (source.against === 'manifest') pool.warm();
  const validated = await validate(source, stageOptions);
  const { totals } = validated;
  if (totals.entries === 0) {
    throw new ArchiveError(
      'ArchiveCorrupt',
      `${shown(archive)}: it contains no entries, so it is not a backup. Nothing was changed.`,
    );
  }
  checkNames(place, validated.longNames);
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
  if (dryRun) {
    if (source.against === 'manifest') await check(source, validated, stageOptions, pool);
    return { ...base, outcome: 'would-restore', warnings: warnings.summary, oldState: undefined };
  }

  using state = RestoreState.open(place);
  const other = state.journal;
  if (other && other.phase !== 'staging') throw unfinished(other, place);
  const journal: Journal = {
    version: 1,
    id: options.id ?? randomUUID(),
    target: place.target,
    archive,
    startedAt: options.now().toISOString(),
    phase: 'staging',
    direction: 'forward',
    mode,
    oldState: isEmpty(place) ? 'remove' : options.oldState,
    hasOutgoing: place.exists,
    hasIncoming: true,
    incomingNames: [],
    moved: false,
    modes: [],
    preservedArchives: [],
  };
  let swapping: Journal;
  let locks: ArchiveLocks | undefined;
  try {
    await discardTrees(state);
    failpoint('journal staging');
    state.write(journal);
    await stageTree({ source, validated }, state, stageOptions, pool, failpoint);
    signal?.throwIfAborted();
    locks = new ArchiveLocks(place.target, found.directories);
    swapping = await prepareSwap(state, journal, found.directories, options);
    failpoint('journal swapping');
    state.write(swapping);
  } catch (error) {
    locks?.[Symbol.dispose]();
    throw await discard(state, pool, failpoint, stagingError(error, place));
  }
  try {
    startPhase('swapping', totals, stageOptions);
    const swapped = await swap(state, swapping, failpoint);
    if (swapped.phase === 'removing') startPhase('removing the old state', totals, stageOptions);
    const kept = await settle(state, swapped, { failpoint, signal });
    return { ...base, outcome: 'restored', warnings: warnings.summary, oldState: kept };
  } finally {
    locks[Symbol.dispose]();
  }
}

/** Setting owners takes all of these: what has been given to another user still gets its mode and attributes. */
function ownsFiles(): boolean {
  return hasCapability('CHOWN') && hasCapability('FOWNER') && hasCapability('DAC_OVERRIDE');
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

/** An empty directory is not worth keeping. */
function isEmpty(place: Place): boolean {
  return place.exists && namesIn(place.target).every(isKeptName);
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
    // Applies if the archive does not list its root.
    const { mode, uid, gid } = rootMetadata(place.target);
    if (options.owner) fs.lchownSync(state.new, uid, gid);
    fs.chmodSync(state.new, mode | 0o700);
  } else {
    fs.chmodSync(state.new, 0o755);
  }
  failpoint('unpack');
  await stage(source, validated, state.new, options, pool);
  failpoint('sync');
  startPhase('syncing', validated.totals, options);
  await unlessAborted(syncFileSystem(place.state), options.signal);
}

/** Does not wait for the rest of a long system call after an abort. */
function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal?.removeEventListener('abort', abort));
  });
}

/** A phase without a count of its own: every file is unpacked by then. */
function startPhase(phase: RestorePhase, { files }: Totals, { progress }: StageOptions): void {
  progress({ phase, files, ofFiles: files });
}

/** The last checks before anything changes. */
async function prepareSwap(
  state: RestoreState,
  journal: Journal,
  locked: readonly ByteString[],
  options: RestoreOptions,
): Promise<Journal> {
  const { place } = state;
  refuseUsers(place, options);
  // Again, now that the archives are locked: a backup may have ended since.
  const { files, directories } = place.exists
    ? await findArchivesAnd(journal.archive, place.target, options.signal)
    : noArchives;
  if (directories.some((directory) => !locked.includes(directory))) {
    throw refused(`a backup has just written a first archive into ${shown(place.target)}. Run again`);
  }
  checkPreservable(files, fromText(place.target), fromText(state.new));
  return {
    ...journal,
    phase: 'swapping',
    modes: checkSwap(place, journal.mode, state.new),
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
    await state.remove(failpoint);
    return reason;
  } catch (error) {
    return new ArchiveError(
      reason instanceof ArchiveError ? reason.reason : 'RestoreFailed',
      `${messageOf(reason)} What was staged in ${shown(state.place.state)} could not be removed (${messageOf(error)}); --resume removes it.`,
      { cause: reason },
    );
  }
}

async function discardTrees(state: RestoreState): Promise<void> {
  for (const tree of [state.new, state.old]) {
    if (present(tree)) await removeTree(fromText(tree));
  }
}

function placeFor(swap: Journal['mode'] | undefined, place: Place): Place {
  return swap === 'children'
    ? { ...place, kind: 'inside', state: path.join(place.target, RESTORE_STATE_NAME) }
    : place;
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
