import { createHash } from 'node:crypto';
import { lstatSync, rmSync, unlinkSync } from 'node:fs';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import {
  type ArchiveClass,
  planRetention,
  type RetentionDecision,
  type RetentionPolicy,
} from '../../retention/index.ts';
import { ArchiveError } from '../errors.ts';
import { manifestNameOf, suspicionNameOf, timeOfName } from '../format/names.ts';
import { isUnapproved } from '../format/suspicion.ts';
import { type ArchiveInfo, listArchives } from './inventory.ts';

export interface PruneOptions {
  readonly destination: string;
  /** Only archives of this series, and those without a readable manifest, are looked at. */
  readonly series: string | undefined;
  /** Undefined: nothing is removed. */
  readonly policy: RetentionPolicy | undefined;
  readonly now: Date;
  readonly dryRun: boolean;
  /** Digest of the plan that was approved: nothing is removed if it is another one now. */
  readonly expectPlan?: string | undefined;
  /** The archive that this run made. It is never removed. */
  readonly keep?: string | undefined;
  readonly failpoint?: ((name: string) => void) | undefined;
}

export interface PruneRow extends RetentionDecision {
  readonly archive: ArchiveInfo;
}

export interface PruneOutcome {
  readonly rows: readonly PruneRow[];
  /** Hex SHA-256 over every archive and what is decided about it: equal plans have equal digests. */
  readonly planDigest: string;
  readonly pruned: string[];
  /** `NAME: why` for each archive that could not be removed. */
  readonly failures: string[];
  /** The archives of the series that remain, newest first. */
  readonly present: {
    count: number;
    bytes: number;
    names: string[];
    classes: ArchiveClass[];
    /** Names of those that the guard found suspicious and nobody approved. */
    suspicious: string[];
  };
}

/**
 * Removes the archives that the policy no longer keeps. Call it only after a success, holding the lock.
 * @throws {ArchiveError} PlanChanged when the plan is not the expected one.
 */
export function pruneUnderLock(options: PruneOptions): PruneOutcome {
  const { destination, policy, now, dryRun, keep, failpoint } = options;
  const archives = archivesOfSeries(destination, options.series);
  const rows = planRows(archives, policy, now);
  const planDigest = digestOf(rows);
  if (options.expectPlan !== undefined && options.expectPlan !== planDigest) {
    throw new ArchiveError(
      'PlanChanged',
      `refused: the plan has changed: its digest is ${planDigest}, expected ${options.expectPlan}. The archives in ${destination} are not what they were. Nothing was removed. Look at the plan again.`,
    );
  }
  const pruned: string[] = [];
  const failures: string[] = [];
  for (const { archive, keep: stays } of rows) {
    if (stays || archive.name === keep) continue;
    if (dryRun) {
      pruned.push(archive.name);
      continue;
    }
    try {
      remove(archive, failpoint);
      pruned.push(archive.name);
    } catch (error) {
      failures.push(`${archive.name}: ${codeOf(error) ?? (error instanceof Error ? error.message : error)}`);
    }
    failpoint?.('archive pruned');
  }
  if (pruned.length > 0 && !dryRun) syncDirectory(destination);
  const gone = new Set(dryRun ? [] : pruned);
  const left = archives.filter(({ name }) => !gone.has(name));
  return {
    rows,
    planDigest,
    pruned,
    failures,
    present: {
      count: left.length,
      bytes: left.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      names: left.map(({ name }) => name),
      classes: left.map((archive) => archive.class),
      suspicious: left.filter(({ suspicion }) => isUnapproved(suspicion)).map(({ name }) => name),
    },
  };
}

export function archivesOfSeries(destination: string, series: string | undefined): ArchiveInfo[] {
  return listArchives(destination).filter(
    ({ summary }) => summary === undefined || summary.series === (series ?? null),
  );
}

function planRows(
  archives: readonly ArchiveInfo[],
  policy: RetentionPolicy | undefined,
  now: Date,
): PruneRow[] {
  const byName = new Map(archives.map((archive) => [archive.name, archive]));
  const decisions = planRetention(
    archives.map(({ name, class: kind, sizeBytes, suspicion }) => ({
      name,
      timestampMs: timeOfName(name)?.getTime() ?? null,
      class: kind,
      sizeBytes,
      isSuspicious: isUnapproved(suspicion),
    })),
    policy ?? { limit: 0 },
    now.getTime(),
  );
  return decisions.map((decision) => ({ ...decision, archive: byName.get(decision.name)! }));
}

function digestOf(rows: readonly PruneRow[]): string {
  const hash = createHash('sha256');
  for (const { name, keep, archive } of rows) {
    const { class: kind, sizeBytes, modifiedAt } = archive;
    hash.update(`${JSON.stringify([name, keep, kind, sizeBytes, modifiedAt.getTime()])}\n`);
  }
  return hash.digest('hex');
}

/** The archive goes first: the next run sweeps an orphaned manifest, but an orphaned archive would count as unverified. */
function remove(archive: ArchiveInfo, failpoint: PruneOptions['failpoint']): void {
  if (!lstatSync(archive.path).isFile()) {
    throw new ArchiveError('Internal', 'is no longer a regular file');
  }
  unlinkSync(archive.path);
  failpoint?.('archive removed');
  rmSync(manifestNameOf(archive.path), { force: true });
  rmSync(suspicionNameOf(archive.path), { force: true });
}
