/** Which claims are protected, and what is missing. */
import { HEALTH_REASONS, type HealthReason } from '../api/health-reasons.ts';
import { adviceOf } from './advice.ts';
import type { ClaimOverview, Coverage, Gap, ScheduleOverview } from './model.ts';
import { byTime, type ClaimRecord, known } from './records.ts';

/** The worst first. */
const GAPS = [
  'NoSchedule',
  'BackupStale',
  'AllSuspended',
  'ArchivesOnSameClaim',
  'NeverDrilled',
] as const satisfies readonly HealthReason[];
type GapReason = (typeof GAPS)[number];
const ORDER: readonly string[] = [...GAPS, 'ClaimIsBlock'];

const gapOf = (reason: GapReason | 'ClaimIsBlock', message: string): Gap =>
  known({ reason, message, todo: adviceOf(reason) });

const isStale = ({ lastSuccess, findings }: ScheduleOverview) =>
  !lastSuccess || findings.some(({ health }) => health === 'Overdue');

const latest = (times: readonly (string | undefined)[]): string | undefined => times.toSorted(byTime).at(-1);

function gapsOf(name: string, schedules: readonly ScheduleOverview[]): Gap[] {
  const active = schedules.filter(({ suspended }) => !suspended);
  const has: Record<GapReason, boolean> = {
    NoSchedule: schedules.length === 0,
    AllSuspended: schedules.length > 0 && active.length === 0,
    BackupStale: active.length > 0 && active.every(isStale),
    ArchivesOnSameClaim:
      schedules.length > 0 && schedules.every(({ destination }) => destination.claimName === name),
    NeverDrilled: schedules.length > 0 && schedules.every(({ drill }) => drill?.lastSuccess === undefined),
  };
  return GAPS.filter((reason) => has[reason]).map((reason) => gapOf(reason, HEALTH_REASONS[reason].meaning));
}

function claimOverview(
  { metadata: { namespace, name }, spec }: ClaimRecord,
  schedules: readonly ScheduleOverview[],
  holdsArchivesOf: readonly ScheduleOverview[],
): ClaimOverview {
  const onlyHolds = schedules.length === 0 && holdsArchivesOf.length > 0;
  const isBlock = spec?.volumeMode === 'Block' && schedules.length === 0;
  return known({
    namespace,
    name,
    schedules: schedules.map((schedule) => schedule.name).sort(),
    holdsArchivesOf: holdsArchivesOf.map((schedule) => schedule.name).sort(),
    lastSuccess: latest(schedules.map(({ lastSuccess }) => lastSuccess?.time)),
    lastDrill: latest(schedules.map(({ drill }) => drill?.lastSuccess)),
    gaps: onlyHolds
      ? []
      : isBlock
        ? [gapOf('ClaimIsBlock', 'A raw block device: km-backup reads files.')]
        : gapsOf(name, schedules),
  });
}

/** An ephemeral volume ends with its pod, so nothing on it is to be kept. */
const isEphemeral = ({ metadata }: ClaimRecord) =>
  metadata.ownerReferences?.some(({ kind }) => kind === 'Pod') ?? false;

export function coverageOf(claims: Iterable<ClaimRecord>, schedules: readonly ScheduleOverview[]): Coverage {
  const key = (schedule: ScheduleOverview, claimName: string | undefined) =>
    `${schedule.namespace}/${claimName}`;
  const bySource = Map.groupBy(schedules, (schedule) => key(schedule, schedule.source.claimName));
  const byDestination = Map.groupBy(
    schedules.filter(({ source, destination }) => source.claimName !== destination.claimName),
    (schedule) => key(schedule, schedule.destination.claimName),
  );
  const rank = ({ gaps }: ClaimOverview) => (gaps[0] ? ORDER.indexOf(gaps[0].reason) : ORDER.length);
  const list = [...claims]
    .filter((claim) => claim.metadata.deletionTimestamp === undefined && !isEphemeral(claim))
    .map((claim) => {
      const claimKey = `${claim.metadata.namespace}/${claim.metadata.name}`;
      return claimOverview(claim, bySource.get(claimKey) ?? [], byDestination.get(claimKey) ?? []);
    })
    .sort((a, b) => rank(a) - rank(b) || (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  const gaps: Record<string, number> = {};
  for (const claim of list) for (const { reason } of claim.gaps) gaps[reason] = (gaps[reason] ?? 0) + 1;
  return { claims: list, covered: list.filter((claim) => claim.gaps.length === 0).length, gaps };
}
