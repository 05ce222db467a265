/** Which claims are protected, and what is missing. */
import type { BackupReason, HealthReason } from '../api/reasons.ts';
import { adviceOf, explanationOf } from './advice.ts';
import type { ClaimOverview, Coverage, Gap, ScheduleOverview, Severity } from './model.ts';
import { type ClaimRecord, known, latest } from './records.ts';

/** The worst first. */
const GAPS = [
  ['NoSchedule', 'critical'],
  ['BackupStale', 'critical'],
  ['AllSuspended', 'critical'],
  ['ArchivesOnSameClaim', 'warning'],
  ['NoCopy', 'idle'],
  ['NeverDrilled', 'idle'],
  ['ClaimIsBlock', 'idle'],
] as const satisfies readonly [HealthReason | BackupReason, Severity][];
type GapReason = (typeof GAPS)[number][0];
const ORDER = GAPS.map(([reason]) => reason);
const SEVERITY = new Map<GapReason, Severity>(GAPS);

const gapOf = (reason: GapReason): Gap =>
  known({
    severity: SEVERITY.get(reason) ?? 'idle',
    reason,
    message:
      reason === 'ClaimIsBlock'
        ? 'A raw block device, which holds no files: km-backup cannot back it up.'
        : (explanationOf(reason)?.meaning ?? ''),
    todo: reason === 'ClaimIsBlock' ? undefined : adviceOf(reason),
  });

const isStale = ({ lastSuccess, findings }: ScheduleOverview) =>
  !lastSuccess || findings.some(({ health }) => health === 'Overdue');

const lastCopyOf = ({ copies }: ScheduleOverview) =>
  latest((copies ?? []).map(({ lastSuccess }) => lastSuccess));

function gapsOf(name: string, schedules: readonly ScheduleOverview[], isBlock: boolean): Gap[] {
  if (schedules.length === 0) return [gapOf(isBlock ? 'ClaimIsBlock' : 'NoSchedule')];
  const active = schedules.filter(({ suspended }) => !suspended);
  const copied = schedules.some((schedule) => lastCopyOf(schedule) !== undefined);
  const sameClaim = schedules.every(({ destination }) => destination.claimName === name);
  const has: Partial<Record<GapReason, boolean>> = {
    AllSuspended: active.length === 0,
    BackupStale: active.length > 0 && active.every(isStale),
    ArchivesOnSameClaim: sameClaim && !copied,
    NoCopy: !sameClaim && !copied,
    NeverDrilled: schedules.every(({ drill }) => drill?.lastSuccess === undefined),
  };
  return ORDER.filter((reason) => has[reason]).map(gapOf);
}

function claimOverview(
  { metadata: { namespace, name }, spec }: ClaimRecord,
  schedules: readonly ScheduleOverview[],
  holdsArchivesOf: readonly ScheduleOverview[],
): ClaimOverview {
  const onlyHolds = schedules.length === 0 && holdsArchivesOf.length > 0;
  return known({
    namespace,
    name,
    schedules: schedules.map((schedule) => schedule.name).sort(),
    holdsArchivesOf: holdsArchivesOf.map((schedule) => schedule.name).sort(),
    lastSuccess: latest(schedules.map(({ lastSuccess }) => lastSuccess?.time)),
    lastDrill: latest(schedules.map(({ drill }) => drill?.lastSuccess)),
    lastCopy: latest(schedules.map(lastCopyOf)),
    gaps: onlyHolds ? [] : gapsOf(name, schedules, spec?.volumeMode === 'Block'),
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
  const rank = ({ gaps }: ClaimOverview) =>
    gaps[0] ? ORDER.indexOf(gaps[0].reason as GapReason) : ORDER.length;
  const list = [...claims]
    .filter((claim) => claim.metadata.deletionTimestamp === undefined && !isEphemeral(claim))
    .map((claim) => {
      const claimKey = `${claim.metadata.namespace}/${claim.metadata.name}`;
      return claimOverview(claim, bySource.get(claimKey) ?? [], byDestination.get(claimKey) ?? []);
    })
    .sort((a, b) => rank(a) - rank(b) || (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  const gaps: Record<string, number> = {};
  for (const claim of list) for (const { reason } of claim.gaps) gaps[reason] = (gaps[reason] ?? 0) + 1;
  const isProtected = ({ gaps }: ClaimOverview) => gaps.every(({ severity }) => severity !== 'critical');
  return {
    claims: list,
    covered: list.filter((claim) => claim.gaps.length === 0).length,
    protected: list.filter(isProtected).length,
    gaps,
  };
}
