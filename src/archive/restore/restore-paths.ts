import fs from 'node:fs';
import { syncFileSystem } from '../../posix/sync.ts';
import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { checkSwap } from './check-swap.ts';
import { ChosenPaths, placesOf } from './chosen-paths.ts';
import { compareChosen, RefusedAttributes } from './compare-staged.ts';
import { checkContents } from './content-checks.ts';
import { extractEntries } from './extract.ts';
import { messageOf, refused, shown, stagingError } from './failures.ts';
import { refuseUsers } from './finish.ts';
import type { RestoreJobs } from './jobs.ts';
import { beginJournal, type Journal } from './journal.ts';
import { PinnedArchive } from './pinned-archive.ts';
import { checkPlace, placeOf } from './place.ts';
import { checkPlan, planChanges } from './plan-restore.ts';
import { findArchivesAnd } from './preserved-archives.ts';
import { removeTree } from './remove-tree.ts';
import type { RestoreDone, RestoreOptions } from './restore-options.ts';
import { restorer } from './restorer.ts';
import { sourceOf } from './source.ts';
import { checkSpace } from './space.ts';
import { RestoreState } from './state.ts';
import { unfinished } from './status.ts';
import { present } from './swap.ts';
import { prepareSwap, type ReadyToSwap, type SwapInOptions, swapIn } from './swap-in.ts';
import { validate } from './validate.ts';
import { Warnings } from './warnings.ts';

/**
 * Puts chosen files and folders of an archive back into a live tree, each by itself. They are staged, compared and
 * checked first; a kill while they are put in place is completed or undone by a later run.
 *
 * @param options With `paths`. An earlier run has been dealt with.
 * @param called How the journal names the archive.
 */
export async function restorePaths(
  options: RestoreOptions & { readonly paths: readonly string[] },
  called: string,
  swapOptions: SwapInOptions,
): Promise<RestoreDone> {
  const { signal, policy, id } = options;
  const { failpoint } = swapOptions;
  const chosen = new ChosenPaths(options.paths);
  const archive = options.fetch ? await options.fetch() : called;
  const pinned = await PinnedArchive.open(archive, options.pins ?? {}, signal);
  const source = sourceOf(archiveInfo(archive), options.ignoreManifest ?? false);
  if (source.against === 'structure') {
    throw refused(
      `--path needs a manifest, which says where entries are, and ${source.why}. Restore the whole tree`,
    );
  }
  const place = placeOf(options.target);
  if (!place.exists)
    throw refused(`${shown(place.target)} does not exist, and --path restores into a live tree`);
  checkPlace(place);
  refuseUsers(place, options);
  checkSwap(place, 'paths', undefined, placesOf(chosen.paths, place.target));
  const warnings = new Warnings();
  const found = await findArchivesAnd(archive, place.target, signal);
  const { setsOwners: owner } = restorer(place);
  const progress = options.progress ?? (() => {});
  const stageOptions = { policy, owner, signal, warn: () => {}, progress, preserved: [] };
  const { totals } = await validate(source, stageOptions);
  const { plan, chosenTotals } = await planChanges(source, place, found, totals, stageOptions, { chosen });
  checkPlan(options.expectPlan, plan);
  checkSpace(place, { ...chosenTotals, impliedDirectories: 0 });

  using state = RestoreState.open(place);
  const other = state.journal;
  if (other && other.phase !== 'staging') throw unfinished(other, place);
  const journal = beginJournal(
    { id, startedAt: options.now(), pinned: options.pins },
    {
      target: place.target,
      archive: called,
      mode: 'paths',
      paths: [...chosen.paths],
      oldState: options.oldState,
      hasOutgoing: true,
    },
  );
  const base = {
    target: place.target,
    against: source.against,
    note: undefined,
    entries: chosenTotals.entries,
    files: chosenTotals.files,
    bytes: chosenTotals.dataBytes,
    reusedBytes: 0,
    archivesKept: 0,
    plan,
  };
  let ready: ReadyToSwap | undefined;
  try {
    for (const tree of [state.new, state.old]) if (present(tree)) await removeTree(fromText(tree));
    failpoint('journal staging');
    state.write(journal);
    failpoint('make the staging directory');
    fs.mkdirSync(state.new, 0o700);
    failpoint('unpack');
    const attributes = new RefusedAttributes();
    // Attributes are compared below; the rest is said nowhere else.
    const warn: typeof warnings.add = (at, message) =>
      (message.startsWith('extended attribute ') ? attributes.add : warnings.add)(at, message);
    const { paths } = options;
    const { preserveSetid } = policy;
    await extractEntries(archive, { paths, directory: state.new, owner, preserveSetid, warn, signal });
    failpoint('compare');
    await compareChosen(source, state.new, attributes, chosen, { policy, signal, warn: warnings.add });
    failpoint('sync');
    await syncFileSystem(place.state);
    pinned.check();
    await using pool = new WorkerPool<RestoreJobs>(1);
    const { checks: wanted = [] } = options;
    const checks =
      wanted.length > 0 ? await checkContents(state.new, place.state, wanted, pool, signal) : undefined;
    const { count, samples } = warnings.summary;
    const { entries, files, bytes, reusedBytes } = base;
    const staged: Journal = {
      ...journal,
      staged: {
        entries,
        files,
        bytes,
        reusedBytes,
        warnings: { count, samples: [...samples] },
        ...(checks && { checks }),
      },
    };
    if (options.stageOnly) {
      failpoint('journal staged');
      state.write({ ...staged, phase: 'staged' });
      return { ...base, outcome: 'staged', warnings: warnings.summary, checks, oldState: undefined };
    }
    ready = await prepareSwap(state, staged, swapOptions);
    failpoint('journal swapping');
    state.write(ready.journal);
  } catch (error) {
    ready?.[Symbol.dispose]();
    throw await discard(state, swapOptions, stagingError(error, place));
  }
  using _locks = ready;
  const oldState = await swapIn(state, ready.journal, swapOptions);
  const { checks } = ready.journal.staged ?? {};
  return { ...base, outcome: 'restored', warnings: warnings.summary, checks, oldState };
}

async function discard(state: RestoreState, { failpoint }: SwapInOptions, reason: unknown): Promise<unknown> {
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
