import type { KmBackup } from '../../api/backup.ts';
import { CLOCK_TOLERANCE_MS } from '../../schedule/index.ts';
import { fromTime, toTime } from '../time.ts';

/**
 * Sorts finished runs in the order of completion. Runs that end in the future come first: the clock was ahead then,
 * so the runs since its correction are newer.
 */
export function byCompletion(nowMs: number): (a: KmBackup, b: KmBackup) => number {
  const latest = toTime(nowMs + CLOCK_TOLERANCE_MS);
  const endOf = ({ status }: KmBackup) => status?.completionTime ?? '';
  const plausible = (time: string) => (time > latest ? 0 : 1);
  return (a, b) =>
    plausible(endOf(a)) - plausible(endOf(b)) ||
    endOf(a).localeCompare(endOf(b)) ||
    a.metadata.name.localeCompare(b.metadata.name);
}

/** The archives of a schedule as the latest run found them on the destination. */
export interface ArchiveStock {
  count: number;
  bytes: number;
  /** Undefined: the report was cut, so that absence from it proves nothing. */
  names: ReadonlySet<string> | undefined;
  seenAtMs: number;
}

/** `finished` in order of completion. Undefined: no run has reported yet. */
export function archiveInventory(finished: readonly KmBackup[]): ArchiveStock | undefined {
  for (const { status } of [...finished].reverse()) {
    if (!status?.present || !status.completionTime) continue;
    const { count, bytes, names } = status.present;
    return {
      count,
      bytes,
      names: names.length === count ? new Set(names) : undefined,
      seenAtMs: fromTime(status.completionTime),
    };
  }
  return undefined;
}

/** Archives that the latest report names and no KmBackup stands for, as far as it was not cut. */
export function untrackedArchives(finished: readonly KmBackup[]): string[] {
  const latest = finished.filter(({ status }) => status?.present).at(-1)?.status;
  const known = new Set(finished.map(({ status }) => status?.archive?.name));
  const pruned = new Set(latest?.pruned?.names);
  return (latest?.present?.names ?? []).filter((name) => !known.has(name) && !pruned.has(name));
}

/** Whether a later run removed this run's archive, or no longer found it. */
export function isArchiveGone(
  backup: KmBackup,
  finished: readonly KmBackup[],
  inventory: ArchiveStock | undefined,
): boolean {
  const archive = backup.status?.archive?.name;
  const madeAt = backup.status?.completionTime;
  if (archive === undefined || madeAt === undefined) return false;
  const pruned = finished.some((other) => other !== backup && other.status?.pruned?.names.includes(archive));
  const unseen =
    inventory?.names !== undefined && inventory.seenAtMs > fromTime(madeAt) && !inventory.names.has(archive);
  return pruned || unseen;
}
