import { type Period, periodLabel } from './periods.ts';

/**
 * - `complete`: has a manifest and no warnings.
 * - `incomplete`: has a manifest with warnings.
 * - `unverified`: has no manifest (made by the original script), but looks like an archive.
 * - `corrupt`: does not read as an archive, or contradicts its manifest.
 * - `unreadable`: the system refused to read it or its manifest, so nothing is known about its content.
 */
export type ArchiveClass = 'complete' | 'incomplete' | 'unverified' | 'corrupt' | 'unreadable';

export interface RetentionArchive {
  name: string;
  /** Epoch ms of the time in the name (UTC); null if the name has none. */
  timestampMs: number | null;
  class: ArchiveClass;
  sizeBytes: number;
  /** The guard found it suspicious, and nobody approved it. */
  isSuspicious?: boolean | undefined;
}

/** Zero, negative or absent: the rule is not set. Fractions are rounded down. */
export interface RetentionPolicy {
  /** Newest archives to keep. */
  limit: number;
  keepDaily?: number | undefined;
  keepWeekly?: number | undefined;
  keepMonthly?: number | undefined;
  keepYearly?: number | undefined;
  maxAgeMs?: number | undefined;
}

export interface RetentionDecision {
  name: string;
  keep: boolean;
  /** At least one, for people. */
  reasons: string[];
}

type Dated = RetentionArchive & { timestampMs: number };

interface Rule {
  /** Why the rule keeps an archive, by its name. */
  kept: Map<string, string>;
}

function count(value: number | undefined): number {
  return value === undefined || Number.isNaN(value) || value < 1 ? 0 : Math.floor(value);
}

/**
 * Archives with warnings are kept in addition to the good ones: at most `limit` of them, and none older than the
 * oldest good one that the limit keeps.
 */
function limitRule(limit: number, good: Dated[], incomplete: Dated[]): Rule {
  const kept = new Map<string, string>();
  for (const [index, archive] of good.slice(0, limit).entries())
    kept.set(archive.name, `limit ${limit}: number ${index + 1}`);
  const oldest = good.length < limit ? Number.NEGATIVE_INFINITY : good[limit - 1]!.timestampMs;
  for (const archive of incomplete.slice(0, limit)) {
    if (archive.timestampMs >= oldest) kept.set(archive.name, `limit ${limit}: incomplete, not counted`);
  }
  return { kept };
}

/**
 * Keeps the newest good archive of each of the last `number` periods that have one, as `--keep-*` of restic does.
 * A period without a good one keeps its newest incomplete archive, and does not count.
 */
function periodRule(period: Period, number: number, good: Dated[], incomplete: Dated[]): Rule {
  const kept = new Map<string, string>();
  const served = new Set<string>();
  let oldest = Number.NEGATIVE_INFINITY;
  for (const archive of good) {
    const label = periodLabel(period, archive.timestampMs);
    if (served.has(label)) continue;
    if (served.size === number) break;
    served.add(label);
    kept.set(archive.name, `${period} ${number}: newest of ${label}`);
    if (served.size === number) oldest = archive.timestampMs;
  }
  const partly = new Set<string>();
  for (const archive of incomplete) {
    const label = periodLabel(period, archive.timestampMs);
    if (archive.timestampMs < oldest || served.has(label) || partly.has(label)) continue;
    if (partly.size === number) break;
    partly.add(label);
    kept.set(archive.name, `${period} ${number}: newest of ${label}, incomplete, not counted`);
  }
  return { kept };
}

function newestFirst(a: RetentionArchive, b: RetentionArchive): number {
  const difference =
    (b.timestampMs ?? Number.NEGATIVE_INFINITY) - (a.timestampMs ?? Number.NEGATIVE_INFINITY);
  if (difference < 0 || difference > 0) return difference;
  return a.name < b.name ? 1 : a.name > b.name ? -1 : 0;
}

function duration(ms: number): string {
  const units = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'm'],
  ] as const;
  const unit = units.find(([size]) => ms % size === 0);
  return unit ? `${ms / unit[0]}${unit[1]}` : `${ms / 1000}s`;
}

/**
 * Decides which archives of one series stay.
 *
 * An archive stays if any rule keeps it. Limit and periods rank only the good archives (complete and unverified).
 * If a limit or a period is set, archives that none of them keeps are removed. `maxAgeMs` removes older archives,
 * even within the limit, unless a period keeps them. Without any rule, nothing is removed.
 *
 * Whatever the rules say, these stay: the newest complete archive, the newest good one, corrupt ones (for a person to
 * inspect), unreadable ones, names without a time, and archives dated in the future (a clock was set back). The last
 * four do not count.
 *
 * While one of them is suspicious, all stay: if its source was damaged, the earlier ones are what is needed.
 *
 * @param archives In any order, without foreign files.
 * @returns A decision for each archive, newest first.
 */
export function planRetention(
  archives: readonly RetentionArchive[],
  policy: RetentionPolicy,
  nowMs: number,
): RetentionDecision[] {
  const sorted = [...archives].sort(newestFirst);
  const dated = sorted.filter(
    (archive): archive is Dated => archive.timestampMs !== null && archive.timestampMs <= nowMs,
  );
  const good = dated.filter((archive) => archive.class === 'complete' || archive.class === 'unverified');
  const incomplete = dated.filter((archive) => archive.class === 'incomplete');

  const limit = count(policy.limit);
  const periods: [Period, number][] = [
    ['daily', count(policy.keepDaily)],
    ['weekly', count(policy.keepWeekly)],
    ['monthly', count(policy.keepMonthly)],
    ['yearly', count(policy.keepYearly)],
  ];
  const rules = periods
    .filter(([, number]) => number > 0)
    .map(([period, number]) => periodRule(period, number, good, incomplete));
  const maxAgeMs = policy.maxAgeMs !== undefined && policy.maxAgeMs > 0 ? policy.maxAgeMs : undefined;
  const tooOld = ({ timestampMs }: Dated) => maxAgeMs !== undefined && nowMs - timestampMs > maxAgeMs;
  if (limit > 0) {
    const rule = limitRule(limit, good, incomplete);
    for (const archive of dated) if (tooOld(archive)) rule.kept.delete(archive.name);
    rules.unshift(rule);
  }

  const always = new Map<string, string>();
  const lastGood = good[0] ?? incomplete[0];
  if (lastGood) always.set(lastGood.name, 'newest archive');
  for (const list of [good, sorted]) {
    const complete = list.find((archive) => archive.class === 'complete');
    if (complete) always.set(complete.name, 'newest complete archive');
  }

  const suspicious = sorted.find(({ isSuspicious }) => isSuspicious);
  return sorted.map((archive): RetentionDecision => {
    const { name, timestampMs } = archive;
    if (suspicious) {
      const reason =
        archive === suspicious || archive.isSuspicious
          ? 'suspicious and not approved: nothing is removed'
          : `${suspicious.name} is suspicious and not approved: nothing is removed`;
      return { name, keep: true, reasons: [reason] };
    }
    if (archive.class === 'corrupt')
      return { name, keep: true, reasons: ['corrupt: not counted, left for you to inspect and remove'] };
    if (archive.class === 'unreadable')
      return { name, keep: true, reasons: ['unreadable: not counted, never removed unseen'] };
    if (timestampMs === null) return { name, keep: true, reasons: ['no time in its name: not counted'] };
    const reasons = [always.get(name), ...rules.map((rule) => rule.kept.get(name))].filter(
      (reason) => reason !== undefined,
    );
    if (timestampMs > nowMs) reasons.push('dated in the future: not counted');
    if (reasons.length > 0) return { name, keep: true, reasons };
    if (maxAgeMs !== undefined && nowMs - timestampMs > maxAgeMs)
      return { name, keep: false, reasons: [`older than ${duration(maxAgeMs)}`] };
    if (rules.length > 0) return { name, keep: false, reasons: ['kept by no rule'] };
    return {
      name,
      keep: true,
      reasons: [maxAgeMs === undefined ? 'no rule set' : `not older than ${duration(maxAgeMs)}`],
    };
  });
}
