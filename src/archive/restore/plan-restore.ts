import fs from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../posix/system-error.ts';
import { archiveInfo } from '../destination/inventory.ts';
import { ArchiveError, type Reason } from '../errors.ts';
import { type ByteString, fromText } from '../format/byte-string.ts';
import { dataBytes } from '../format/entry.ts';
import { manifestNameOf } from '../format/names.ts';
import { checkSwap } from './check-swap.ts';
import { ChosenPaths } from './chosen-paths.ts';
import { settledBefore } from './compare-entry.ts';
import type { RestorePolicy } from './entry-gate.ts';
import { messageOf } from './failures.ts';
import { refuseAfterUnfinished, refuseUsers } from './finish.ts';
import { ForeseenLosses, type Restorer } from './foreseen-losses.ts';
import { isKeptName } from './kept-names.ts';
import { LiveTree } from './live-tree.ts';
import { mergeWalk } from './merge-walk.ts';
import { digestOf, PinnedArchive, type Pins } from './pinned-archive.ts';
import { type Place, placeOf } from './place.ts';
import { PlanBuilder, type PlannedChanges } from './plan.ts';
import { findArchivesAnd, type PreservedArchives } from './preserved-archives.ts';
import type { RestoreProgress } from './progress.ts';
import { withRecorded } from './recorded.ts';
import { restorer } from './restorer.ts';
import { type ReuseConditions, reuseOf, savesSpace } from './reuse-choice.ts';
import { type Source, sourceOf } from './source.ts';
import { freeSpace, lackOfSpace, spaceNeeded } from './space.ts';
import type { StageOptions } from './stage-options.ts';
import { noArchives } from './swap-in.ts';
import { checkNames, type Totals, validate } from './validate.ts';
import { type RestoreWarnings, Warnings } from './warnings.ts';

/** What a plan depends on: `RestoreOptions` has all of it. */
export interface PlanOptions extends ReuseConditions {
  readonly archive: string;
  readonly fetch?: (() => Promise<string>) | undefined;
  readonly target: string;
  readonly id?: string | undefined;
  readonly pins?: Pins | undefined;
  readonly paths?: readonly string[];
  readonly policy: RestorePolicy;
  readonly ignoreManifest?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: ((progress: RestoreProgress) => void) | undefined;
}

export interface PlanReport {
  readonly target: string;
  readonly against: Source['against'];
  /** Why there was no manifest to compare with. */
  readonly note: string | undefined;
  readonly plan: Plan;
  readonly warnings: RestoreWarnings;
}

export interface Plan extends PlannedChanges {
  /** In addition to what the target takes now. */
  readonly spaceNeededBytes: number;
  /** Undefined when the file system does not say. */
  readonly spaceFreeBytes?: number;
}

/**
 * What a restore would do. Changes nothing, needs no right to write, and reports obstacles as warnings.
 *
 * @throws {ArchiveError} RestoreRefused, ArchiveReplaced, ArchiveCorrupt or ManifestInvalid when the archive cannot be
 *   restored to that target at all.
 */
export async function planRestore(options: PlanOptions): Promise<PlanReport> {
  const { signal, policy, target } = options;
  refuseAfterUnfinished(target, options.id);
  const archive = options.fetch ? await options.fetch() : path.resolve(options.archive);
  await PinnedArchive.open(archive, options.pins ?? {}, signal);
  const source = sourceOf(archiveInfo(archive), options.ignoreManifest ?? false);
  const place = placeOf(target);
  const found = place.exists ? await findArchivesAnd(archive, place.target, signal) : noArchives;
  const chosen = options.paths?.length ? new ChosenPaths(options.paths) : undefined;
  const warnings = new Warnings();
  const stageOptions: StageOptions = {
    policy,
    owner: restorer(place).setsOwners,
    signal,
    warn: warnings.add,
    progress: options.progress ?? (() => {}),
    preserved: found.files,
    reuse: chosen ? undefined : reuseOf(options, place, source),
  };
  const { totals, longNames } = await validate(source, stageOptions);
  checkNames(place, longNames);
  const { plan, losses, chosenTotals } = await planChanges(source, place, found, totals, stageOptions, {
    chosen,
  });
  for (const line of losses) warnings.addLine(line);
  for (const line of obstacles(place, options)) warnings.addLine(line);
  const everything = chosen ? { ...chosenTotals, impliedDirectories: 0 } : totals;
  const lack = lackOfSpace(spaceNeeded({ ...everything, dataBytes: plan.bytesToWrite }), freeSpace(place));
  if (lack !== undefined) warnings.addLine(lack);
  if (found.files.length > 0) {
    warnings.addLine(`${found.files.length} archive files inside the target are kept`);
  }
  return {
    target: place.target,
    against: source.against,
    note: source.against === 'structure' ? source.why : undefined,
    plan,
    warnings: warnings.summary,
  };
}

/** What the chosen paths hold in the archive; everything if none are chosen. */
export interface ChosenTotals {
  readonly entries: number;
  readonly files: number;
  readonly dataBytes: number;
}

/** Compares a validated archive with the live tree. */
export async function planChanges(
  source: Source,
  place: Place,
  preserved: PreservedArchives,
  totals: Totals,
  { policy, signal, reuse }: Pick<StageOptions, 'policy' | 'signal' | 'reuse'>,
  { chosen, by = restorer(place) }: { chosen?: ChosenPaths | undefined; by?: Restorer } = {},
): Promise<{ plan: Plan; losses: string[]; chosenTotals: ChosenTotals }> {
  const archive = source.info.path;
  const file = source.against === 'manifest' ? manifestNameOf(archive) : archive;
  const archiveDigest = (await digestOf(file, signal))!;
  const settled = source.against === 'manifest' ? settledBefore(source.summary.startedAt) : 0n;
  using live = new LiveTree(fromText(place.target));
  const isKept = place.kind === 'inside' ? isKeptName : () => false;
  const isOutside = (at: ByteString) =>
    chosen !== undefined && !chosen.includes(at) && !chosen.leadsThrough(at);
  const skip = (at: ByteString) => isKept(at) || isOutside(at);
  const survivors = withAncestors(preserved.files);
  return await withRecorded(source, policy, signal, async (recorded) => {
    const builder = new PlanBuilder({ archiveDigest, settled, preserved: survivors });
    const losses = new ForeseenLosses(by);
    const entries = place.exists ? live.walk(skip) : [].values();
    const chosenTotals = { entries: 0, files: 0, dataBytes: 0 };
    await mergeWalk(recorded, entries, (entry, at) => {
      if (chosen && !chosen.includes((entry ?? at)!.path)) return;
      if (entry) {
        losses.add(entry);
        chosenTotals.entries++;
        if (entry.type === 'file') {
          chosenTotals.files++;
          chosenTotals.dataBytes += dataBytes(entry);
        }
      }
      builder.add(entry, at);
    });
    const { bytes: spaceFreeBytes } = freeSpace(place);
    const changes = builder.finish();
    const everything = chosen ? chosenTotals : totals;
    const bytesToWrite = savesSpace(reuse) ? changes.bytesToWrite : everything.dataBytes;
    const plan: Plan = {
      ...changes,
      bytesToWrite,
      spaceNeededBytes: spaceNeeded({ impliedDirectories: 0, ...everything, dataBytes: bytesToWrite }).bytes,
      ...(spaceFreeBytes !== undefined && { spaceFreeBytes }),
    };
    return { plan, losses: losses.lines, chosenTotals };
  });
}

/** @throws {ArchiveError} PlanChanged when a plan is not the one that was approved. */
export function checkPlan(expected: string | undefined, { digest }: Plan): void {
  if (expected === undefined || expected === digest) return;
  throw new ArchiveError(
    'PlanChanged',
    `refused: the plan has changed: its digest is ${digest}, expected ${expected}. The archive or the target is not what it was. Nothing was changed. Look at the plan again.`,
  );
}

function withAncestors(files: readonly ByteString[]): ReadonlySet<ByteString> {
  const all = new Set(files);
  for (const file of files) {
    for (let cut = file.lastIndexOf('/'); cut > 0; cut = file.lastIndexOf('/', cut - 1)) {
      all.add(file.slice(0, cut) as ByteString);
    }
  }
  return all;
}

const OBSTACLES: ReadonlySet<Reason> = new Set(['RestoreRefused', 'TargetUnavailable']);

/** What would refuse the restore as things are now. */
function obstacles(place: Place, options: PlanOptions): string[] {
  const mode = place.kind === 'inside' ? 'children' : place.exists ? 'exchange' : 'rename';
  const checks = [
    () => refuseUsers(place, options),
    // A plan may be made through a read-only mount.
    () => (isReadOnly(place) ? undefined : checkSwap(place, mode, undefined)),
  ];
  return checks.flatMap((check) => {
    try {
      check();
      return [];
    } catch (error) {
      if (error instanceof ArchiveError && OBSTACLES.has(error.reason)) return [messageOf(error)];
      throw error;
    }
  });
}

function isReadOnly({ target, exists }: Place): boolean {
  try {
    fs.accessSync(exists ? target : path.dirname(target), fs.constants.W_OK);
    return false;
  } catch (error) {
    return codeOf(error) === 'EROFS';
  }
}
