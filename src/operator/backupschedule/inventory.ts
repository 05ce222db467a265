/** What runs have reported about the archives on their destinations. Pure. */
import { type ArchiveClass, classAt } from '../../api/archive-class.ts';
import { CLOCK_TOLERANCE_MS } from '../../schedule/index.ts';
import type { FinishedRun } from '../finished-run.ts';
import { fromTime, toTime } from '../time.ts';
import { type Destination, destinationText } from '../workloads.ts';

/**
 * Sorts finished runs in the order of completion. Runs that end in the future come first: the clock was ahead then,
 * so the runs since its correction are newer.
 */
export function byCompletion(nowMs: number): (a: FinishedRun, b: FinishedRun) => number {
  const latest = toTime(nowMs + CLOCK_TOLERANCE_MS);
  const endOf = ({ status }: FinishedRun) => status?.completionTime ?? '';
  const plausible = (time: string) => (time > latest ? 0 : 1);
  return (a, b) =>
    plausible(endOf(a)) - plausible(endOf(b)) ||
    endOf(a).localeCompare(endOf(b)) ||
    a.metadata.name.localeCompare(b.metadata.name);
}

/** The most suspicious archives that a report names. */
const MAX_SUSPICIOUS = 20;

/** The archives of a schedule on one destination, as the latest run there reported them. */
interface Report {
  destination: Destination;
  count: number;
  bytes: number;
  /** Newest first. Fewer than `count` where the report was cut: then absence proves nothing. */
  names: readonly string[];
  /** One letter for each name; absent in reports of earlier versions. */
  classes: string | undefined;
  /** Names of suspicious archives that nobody had approved; undefined in reports of earlier versions. */
  suspicious: readonly string[] | undefined;
  seenAtMs: number;
}

export interface UntrackedArchive {
  name: string;
  destination: Destination;
  class: ArchiveClass | undefined;
}

/**
 * The archives of a series, from the records of its finished runs. An archive is identified by claim, folder and name:
 * a report about one destination says nothing about the others.
 */
export class Inventory {
  readonly #records: readonly FinishedRun[];
  readonly #reports = new Map<string, Report>();
  /** Names that runs removed, by destination. */
  readonly #pruned = new Map<string, Set<string>>();
  #latest: Report | undefined;

  /** @param records Finished runs in the order of completion. */
  constructor(records: readonly FinishedRun[]) {
    this.#records = records;
    for (const { status } of records) {
      if (!status?.archive) continue;
      const key = destinationText(status.archive);
      const pruned = this.#pruned.get(key) ?? new Set();
      this.#pruned.set(key, pruned);
      for (const name of status.pruned?.names ?? []) pruned.add(name);
      if (!status.present || !status.completionTime) continue;
      const { count, bytes, names, classes, suspicious } = status.present;
      const { claimName, path } = status.archive;
      const seenAtMs = fromTime(status.completionTime);
      const destination = { claimName, path };
      this.#latest = { destination, count, bytes, names, classes, suspicious, seenAtMs };
      this.#reports.set(key, this.#latest);
    }
  }

  /** Number and size of the archives as the latest run saw them; undefined before the first report. */
  get totals(): { count: number; bytes: number } | undefined {
    return this.#latest && { count: this.#latest.count, bytes: this.#latest.bytes };
  }

  /** Archives that the latest report names and that have no record. */
  untracked(): UntrackedArchive[] {
    if (!this.#latest) return [];
    const { destination, names, classes } = this.#latest;
    const here = destinationText(destination);
    const tracked = new Set<string>();
    for (const { status } of this.#records)
      if (status?.archive && destinationText(status.archive) === here) tracked.add(status.archive.name);
    return names.flatMap((name, index) =>
      tracked.has(name) || this.#pruned.get(here)?.has(name)
        ? []
        : [{ name, destination, class: classAt(classes, index) }],
    );
  }

  /** Whether the record's archive is suspicious and nobody had approved it, by the latest run on its destination. */
  isSuspicious({ status }: FinishedRun): boolean {
    if (!status?.archive || status.completionTime === undefined) return false;
    const wasSuspicious = status.suspicious !== undefined;
    const report = this.#reports.get(destinationText(status.archive));
    if (report?.suspicious?.includes(status.archive.name)) return true;
    const isLater = report?.suspicious && report.seenAtMs > fromTime(status.completionTime);
    // A report that names as many as it may has left others out.
    return wasSuspicious && !(isLater && report.suspicious!.length < MAX_SUSPICIOUS);
  }

  /** Whether a run on the same destination removed the record's archive, or no longer found it. */
  isGone({ status }: FinishedRun): boolean {
    if (!status?.archive || status.completionTime === undefined) return false;
    const { name } = status.archive;
    const here = destinationText(status.archive);
    if (this.#pruned.get(here)?.has(name)) return true;
    const report = this.#reports.get(here);
    return (
      report !== undefined &&
      report.names.length === report.count &&
      report.seenAtMs > fromTime(status.completionTime) &&
      !report.names.includes(name)
    );
  }
}
