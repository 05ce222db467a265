import fs from 'node:fs';
import path from 'node:path';
import { OpenFileSystem } from '../../posix/sync.ts';
import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';
import { RESTORE_STATE_NAME } from '../format/names.ts';
import { allowedThreads } from '../pool/allowed-threads.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { checkSwap } from './check-swap.ts';
import { compareStaged, RefusedAttributes } from './compare-staged.ts';
import { checkContents } from './content-checks.ts';
import { EarlySync } from './early-sync.ts';
import { messageOf, refused, refusedForNow, shown, stagingError } from './failures.ts';
import { type EarlierRun, finishEarlier, refuseAfterUnfinished, refuseUsers } from './finish.ts';
import type { RestoreJobs } from './jobs.ts';
import { beginJournal, type ContentCheckResult, type Journal } from './journal.ts';
import { PinnedArchive, type Pins } from './pinned-archive.ts';
import { checkPlace, type Place, placeOf } from './place.ts';
import { checkPlan, type Plan, planChanges } from './plan-restore.ts';
import { checkPreservable, findArchivesAnd, type PreservedArchives } from './preserved-archives.ts';
import { removeTree } from './remove-tree.ts';
import type { RestoreOptions, RestoreReport } from './restore-options.ts';
import { restorePaths } from './restore-paths.ts';
import { restorer } from './restorer.ts';
import { reuseOf, savesSpace } from './reuse-choice.ts';
import { rootMetadata } from './root-metadata.ts';
import { type Source, sourceOf } from './source.ts';
import { checkSpace, freeSpace, lackOfSpace, spaceNeeded } from './space.ts';
import { check, stage } from './stage.ts';
import type { StageOptions } from './stage-options.ts';
import { RestoreState } from './state.ts';
import { unfinished } from './status.ts';
import { type Failpoint, present } from './swap.ts';
import { isEmpty, noArchives, prepareSwap, type ReadyToSwap, type SwapInOptions, swapIn } from './swap-in.ts';
import { checkNames, type Totals, type Validated, validate } from './validate.ts';
import { Warnings } from './warnings.ts';

export type { RestoreDone, RestoreOptions, RestoreReport } from './restore-options.ts';

/**
 * Replaces a directory with the contents of an archive. Until the swap begins nothing in the target changes, and a
 * failure leaves no trace. A swap that fails is undone; one that is killed can be completed or undone later.
 *
 * @throws {ArchiveError} RestoreRefused, ArchiveReplaced, AlreadyRolledBack, NoSpace, Locked, ArchiveCorrupt or
 *   ManifestInvalid when nothing was changed; RestoreFailed with what to do next.
 */
export async function restore(options: RestoreOptions): Promise<RestoreReport> {
  const { signal, dryRun, id } = options;
  const failpoint = options.failpoint ?? (() => {});
  const called = options.fetch ? options.archive : path.resolve(options.archive);
  if (dryRun) refuseAfterUnfinished(options.target, id);
  else {
    const earlier = await finishEarlier(options.target, { id, archive: called }, { failpoint, signal });
    if (earlier?.outcome === 'staged' && !options.stageOnly) return await goOn(options, failpoint);
    if (earlier) return earlier;
  }
  const { paths = [] } = options;
  if (paths.length > 0 && !dryRun) {
    return await restorePaths({ ...options, paths }, called, swapOptionsOf(options, failpoint, 0));
  }

  const place = placeFor(options.swap, placeOf(options.target));
  const mode = options.swap ?? (place.kind === 'inside' ? 'children' : place.exists ? 'exchange' : 'rename');
  checkPlace(place);
  refuseUsers(place, options);
  checkSwap(place, mode, undefined);
  const archive = options.fetch ? await options.fetch() : called;
  const pinned = await PinnedArchive.open(archive, options.pins ?? {}, signal);
  const warnings = new Warnings();
  const source = sourceOf(archiveInfo(archive), options.ignoreManifest ?? false);
  const found = place.exists ? await findArchivesAnd(archive, place.target, signal) : noArchives;
  checkPreservable(found.files, fromText(place.target), undefined);
  const stageOptions: StageOptions = {
    policy: options.policy,
    owner: restorer(place).setsOwners,
    signal,
    warn: warnings.add,
    progress: options.progress ?? (() => {}),
    preserved: found.files,
    reuse: reuseOf(options, place, source),
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
  const plan = await planIfNeeded(options, source, place, found, totals, stageOptions);
  checkSpace(place, plan ? { ...totals, dataBytes: plan.bytesToWrite } : totals);
  const base = {
    target: place.target,
    against: source.against,
    note: source.against === 'structure' ? source.why : undefined,
    entries: totals.entries,
    files: totals.files,
    bytes: totals.dataBytes,
    archivesKept: found.files.length,
    plan,
  };
  if (dryRun) {
    if (source.against === 'manifest') await check(source, validated, stageOptions, pool);
    pinned.check();
    return {
      ...base,
      outcome: 'would-restore',
      reusedBytes: 0,
      warnings: warnings.summary,
      checks: undefined,
      oldState: undefined,
    };
  }

  using state = RestoreState.open(place);
  const other = state.journal;
  if (other && other.phase !== 'staging') throw unfinished(other, place);
  const journal = beginJournal(
    { id, startedAt: options.now(), pinned: options.pins },
    {
      target: place.target,
      archive: called,
      mode,
      oldState: isEmpty(place) ? 'remove' : options.oldState,
      hasOutgoing: place.exists,
    },
  );
  const swapOptions = swapOptionsOf(options, failpoint, totals.files);
  let ready: ReadyToSwap;
  try {
    await discardTrees(state);
    failpoint('journal staging');
    state.write(journal);
    const { reusedBytes } = await stageTree({ source, validated }, state, stageOptions, pool, failpoint);
    signal?.throwIfAborted();
    pinned.check();
    const checks = await contentChecks(state, options, pool);
    const { count, samples } = warnings.summary;
    const staged: Journal = {
      ...journal,
      staged: { ...stagedTotals(totals), reusedBytes, warnings: { count, samples: [...samples] }, ...checks },
    };
    if (options.stageOnly) {
      failpoint('journal staged');
      state.write({ ...staged, phase: 'staged' });
      return {
        ...base,
        outcome: 'staged',
        reusedBytes,
        warnings: warnings.summary,
        checks: checks.checks,
        oldState: undefined,
      };
    }
    ready = await prepareSwap(state, staged, swapOptions, found);
  } catch (error) {
    throw await discard(state, pool, failpoint, stagingError(error, place));
  }
  using _locks = ready;
  try {
    failpoint('journal swapping');
    state.write(ready.journal);
  } catch (error) {
    throw await discard(state, pool, failpoint, stagingError(error, place));
  }
  const oldState = await swapIn(state, ready.journal, { ...swapOptions, pool });
  const { reusedBytes = 0, checks } = ready.journal.staged ?? {};
  return { ...base, outcome: 'restored', reusedBytes, warnings: warnings.summary, checks, oldState };
}

/** A plan costs a look at every live entry, so it is made only for who asked for it, or where space is short. */
async function planIfNeeded(
  { expectPlan }: RestoreOptions,
  source: Source,
  place: Place,
  found: PreservedArchives,
  totals: Totals,
  options: StageOptions,
): Promise<Plan | undefined> {
  const isTight = lackOfSpace(spaceNeeded(totals), freeSpace(place)) !== undefined;
  if (expectPlan === undefined && !(isTight && savesSpace(options.reuse))) return undefined;
  const { plan } = await planChanges(source, place, found, totals, options);
  checkPlan(expectPlan, plan);
  return plan;
}

/** Swaps in what an earlier run of this request staged. A failure before the swap leaves it staged. */
async function goOn(options: RestoreOptions, failpoint: Failpoint): Promise<EarlierRun> {
  using found = RestoreState.find(options.target);
  if (found?.journal.phase !== 'staged' || found.journal.id !== options.id) {
    throw refusedForNow(
      `another run has just changed what is staged for ${shown(options.target)}. Run again`,
    );
  }
  const { state } = found;
  const place = placeFor(found.journal.mode, state.place);
  const journal: Journal = {
    ...found.journal,
    oldState: isEmpty(place) ? 'remove' : options.oldState,
  };
  checkPinned(journal, options.pins ?? {});
  if (journal.hasOutgoing !== place.exists || !present(state.new)) {
    throw refused(
      `${shown(place.target)} was ${place.exists ? 'created' : 'removed'}, or what was staged is gone, since the restore was staged. Remove it (--discard) and run again`,
    );
  }
  const swapOptions = swapOptionsOf(options, failpoint, journal.staged?.files ?? 0);
  if (journal.staged && !journal.staged.checks) {
    await using pool = new WorkerPool<RestoreJobs>(1);
    Object.assign(journal.staged, await contentChecks(state, options, pool));
  }
  using ready = await prepareSwap(state, journal, swapOptions);
  failpoint('journal swapping');
  state.write(ready.journal);
  const oldState = await swapIn(state, ready.journal, swapOptions);
  return {
    outcome: 'completed',
    target: place.target,
    archivesKept: ready.journal.preservedArchives.length,
    oldState,
    staged: journal.staged,
  };
}

/** The staged tree is of the archive that was pinned then. */
function checkPinned({ archive, pinned }: Journal, pins: Pins): void {
  for (const key of ['manifestSha256', 'sha256'] as const) {
    if (pins[key] === undefined || pinned?.[key] === pins[key]) continue;
    throw new ArchiveError(
      'ArchiveReplaced',
      `refused: what is staged of ${shown(archive)} has another digest than expected (${pinned?.[key] ?? 'unknown'}, not ${pins[key]}). Nothing was changed. Remove it (--discard) and run again.`,
    );
  }
}

async function contentChecks(
  state: RestoreState,
  { checks = [], signal }: RestoreOptions,
  pool: WorkerPool<RestoreJobs>,
): Promise<{ checks?: ContentCheckResult[] }> {
  if (checks.length === 0) return {};
  return { checks: await checkContents(state.new, state.place.state, checks, pool, signal) };
}

function swapOptionsOf(
  { ignoreWriters, signal, progress }: RestoreOptions,
  failpoint: Failpoint,
  files: number,
): SwapInOptions {
  return {
    ignoreWriters: ignoreWriters ?? false,
    signal,
    failpoint,
    // Without a count of its own: every file is unpacked by then.
    startPhase: (phase) => progress?.({ phase, files, ofFiles: files }),
  };
}

function stagedTotals({ entries, files, dataBytes }: Totals) {
  return { entries, files, bytes: dataBytes };
}

async function stageTree(
  { source, validated }: { source: Source; validated: Validated },
  state: RestoreState,
  options: StageOptions,
  pool: WorkerPool<RestoreJobs>,
  failpoint: Failpoint,
): Promise<{ reusedBytes: number }> {
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
  const refused = new RefusedAttributes();
  const warn = source.against === 'manifest' ? refused.add : options.warn;
  using disk = new EarlySync(new OpenFileSystem(place.state));
  const reused = await stage(source, validated, state.new, { ...options, warn, written: disk.written }, pool);
  const { files } = validated.totals;
  options.progress({ phase: 'syncing', files, ofFiles: files });
  // Without a manifest, comparing would mean to read the whole archive once more.
  if (source.against === 'manifest') failpoint('compare');
  failpoint('sync');
  const syncing = unlessAborted(disk.finish(), options.signal);
  // Comparing takes the processor, syncing the disk.
  const keptRoot = place.kind === 'inside' ? place.target : undefined;
  const comparing =
    source.against === 'manifest'
      ? compareStaged(source, validated, state.new, { refused, keptRoot }, options, pool)
      : undefined;
  // Both have ended before anything is removed.
  const [compared, synced] = await Promise.allSettled([comparing, syncing]);
  for (const outcome of [synced, compared]) if (outcome.status === 'rejected') throw outcome.reason;
  return reused;
}

/** Does not wait for the rest of a long system call after an abort. */
function unlessAborted(work: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal?.removeEventListener('abort', abort));
  });
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
