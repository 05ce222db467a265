/** What is wrong with a schedule, or worth knowing. */
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { type ConditionReason, type HealthReason, quoteReason, type ScheduleReason } from '../api/reasons.ts';
import { adviceOf, explanationOf } from './advice.ts';
import { type Finding, type ScheduleOverview, worstFirst } from './model.ts';
import { known, timeOf } from './records.ts';

/** A copy of the newest archive is late after this. */
const COPIED_WITHIN_MS = 24 * 3_600_000;
/** A schedule that the operator has not looked at for longer than this is not looked at. */
const OBSERVED_WITHIN_MS = 5 * 60_000;

type Facts = {
  [K in 'lastRun' | 'lastSuccess' | 'successDue' | 'copies' | 'drill']: ScheduleOverview[K] | undefined;
};

type Untold = Omit<Finding, 'todo'>;
type Rule = (
  schedule: KmBackupSchedule,
  facts: Facts,
  nowMs: number,
) => Untold | readonly Untold[] | undefined;

const meaning = (reason: HealthReason | ScheduleReason) => explanationOf(reason)?.meaning ?? '';

const notReady: Rule = ({ status }) => {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status !== 'False') return undefined;
  const time = timeOf(ready.lastTransitionTime);
  const reason = quoteReason(ready.reason, 'InvalidSchedule');
  return known({ health: 'NotReady' as const, reason, message: ready.message ?? '', time });
};

const lastRunBad: Rule = ({ spec }, { lastRun }) => {
  if (!lastRun || spec.suspend || lastRun.phase === 'Succeeded') return undefined;
  const incomplete = lastRun.phase === 'Incomplete';
  const reason: ConditionReason = quoteReason(lastRun.reason, incomplete ? 'FilesNotCaptured' : 'Failed');
  return known({
    health: incomplete ? ('Incomplete' as const) : ('Failed' as const),
    reason,
    message: lastRun.message ?? 'It ended without a message.',
    time: lastRun.completionTime,
    object: { kind: 'KmBackup' as const, name: lastRun.name },
  });
};

/** The condition stays until somebody approves the archive, whatever runs follow. */
const suspicious: Rule = ({ status }) => {
  const condition = status?.conditions?.find(({ type }) => type === 'Suspicious');
  if (condition?.status !== 'True') return undefined;
  const backup = status?.suspicions?.backups?.[0];
  return known({
    health: 'Suspicious' as const,
    reason: 'Suspicious' as const,
    message: condition.message ?? meaning('SuspiciousArchives'),
    time: timeOf(condition.lastTransitionTime),
    object: backup === undefined ? undefined : { kind: 'KmBackup' as const, name: backup },
  });
};

const overdue: Rule = (_, { successDue, lastSuccess }, nowMs) => {
  if (successDue === undefined || Date.parse(successDue) >= nowMs) return undefined;
  const message = lastSuccess
    ? `A complete archive was due by ${successDue}. The last one was finished at ${lastSuccess.time}.`
    : `A first complete archive was due by ${successDue}. There is none.`;
  return { health: 'Overdue', reason: lastSuccess ? 'Overdue' : 'NeverSucceeded', message, time: successDue };
};

const copiesLate: Rule = ({ spec }, { copies, lastSuccess }, nowMs) =>
  (spec.suspend ? [] : (copies ?? [])).flatMap((copy): Untold[] => {
    if (!copy.wanted) return [];
    if (copy.phase === 'Failed') {
      const { lastFailure: time, location, message } = copy;
      const reason = quoteReason(copy.reason, 'CopyLate');
      return [
        known({
          health: 'CopyLate' as const,
          reason,
          message: `Location ${location}: ${message ?? 'the copy failed.'}`,
          time,
        }),
      ];
    }
    const behind = lastSuccess !== undefined && copy.archive !== lastSuccess.archive;
    if (!behind || nowMs - Date.parse(lastSuccess.time) < COPIED_WITHIN_MS) return [];
    const last = copy.lastSuccess
      ? `The last copy is from ${copy.lastSuccess}.`
      : 'It has none of this schedule.';
    const message = `Location ${copy.location} lacks the archive of ${lastSuccess.time}. ${last}`;
    return [{ health: 'CopyLate', reason: 'CopyLate', message, time: lastSuccess.time }];
  });

/** Reasons of the condition `Recoverable` that are not about a drill that ended. */
const NO_DRILLS: ReadonlySet<string | undefined> = new Set(['InvalidDrill', 'DrillRefused']);

const drillFailed: Rule = ({ spec }, { drill }) => {
  const last = drill?.last;
  if (!last || last.phase === 'Succeeded' || spec.suspend) return undefined;
  return {
    health: 'DrillFailed',
    reason: quoteReason(last.reason, 'DrillFailed'),
    message: last.message ?? meaning('DrillFailed'),
    time: last.time,
    object: { kind: 'KmRestore', name: last.name },
  };
};

const drillLate: Rule = ({ spec, status }, { drill }, nowMs) => {
  if (spec.suspend) return undefined;
  const condition = status?.conditions?.find(({ type }) => type === 'Recoverable');
  if (condition?.status === 'False' && NO_DRILLS.has(condition.reason)) {
    const reason = quoteReason(condition.reason, 'InvalidDrill');
    const time = timeOf(condition.lastTransitionTime);
    return known({
      health: 'DrillLate' as const,
      reason,
      message: condition.message ?? meaning('DrillLate'),
      time,
    });
  }
  if (drill?.due === undefined || Date.parse(drill.due) >= nowMs) return undefined;
  const last =
    drill.lastSuccess === undefined
      ? 'None has succeeded yet.'
      : `The last success was at ${drill.lastSuccess}.`;
  return {
    health: 'DrillLate',
    reason: 'DrillLate',
    message: `A drill should have ended by ${drill.due}. ${last}`,
    time: drill.due,
  };
};

const suspended: Rule = ({ spec }) =>
  spec.suspend
    ? { health: 'Suspended', reason: 'Suspended', message: 'Suspended: no runs are started.' }
    : undefined;

const pending: Rule = ({ metadata, status }, { lastRun }, nowMs) => {
  if (lastRun) return undefined;
  const observed = status?.observedGeneration !== undefined || (status?.conditions?.length ?? 0) > 0;
  const ageMs = nowMs - Date.parse(metadata.creationTimestamp);
  return observed || !(ageMs > OBSERVED_WITHIN_MS)
    ? { health: 'Pending', reason: 'NoRunYet', message: 'No run has finished yet.' }
    : { health: 'NotReady', reason: 'NotObserved', message: meaning('NotObserved') };
};

const RULES: readonly Rule[] = [
  notReady,
  lastRunBad,
  suspicious,
  overdue,
  copiesLate,
  drillFailed,
  drillLate,
  suspended,
  pending,
];

/** The worst first. Empty if all is well. */
export function findingsOf(schedule: KmBackupSchedule, facts: Facts, nowMs: number): Finding[] {
  return RULES.flatMap((rule) => rule(schedule, facts, nowMs))
    .filter((finding) => finding !== undefined)
    .map((finding) => {
      const name = finding.object?.name ?? schedule.metadata.name;
      return known({ ...finding, todo: adviceOf(finding.reason, { name }) });
    })
    .sort(worstFirst);
}
