/** What a schedule reports of its drills. Pure. */

import type { DrillRecord, DrillStatus } from '../../api/drill.ts';
import type { Drilled } from '../../api/drill-cadence.ts';
import { isRestoreFinished } from '../../api/finished.ts';
import type { KmRestore } from '../../api/restore.ts';
import type { ConditionState } from '../conditions.ts';
import { corrected, fromTime, toTime } from '../time.ts';
import { type DrillsDue, describeDrills } from './due.ts';
import { keyOfDrill } from './key.ts';

/** In the order of creation, which is that of their ends: only one runs at a time. */
export function finishedDrills(drills: readonly KmRestore[]): KmRestore[] {
  return drills
    .filter(isRestoreFinished)
    .sort(
      (a, b) =>
        a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) ||
        a.metadata.name.localeCompare(b.metadata.name),
    );
}

/** A drill that ended since the status was written. */
export interface Ended {
  readonly result: 'Succeeded' | 'Failed';
  readonly time: string;
  readonly record: DrillRecord;
}

export function newlyEnded({ status }: Drilled, newest: KmRestore | undefined, nowMs: number) {
  if (!newest) return undefined;
  const { name } = newest.metadata;
  const completed = newest.status?.completionTime ?? toTime(nowMs);
  const known = status?.lastDrillTime && corrected(status.lastDrillTime, nowMs);
  // An older one is the newest again when somebody deleted the one after it.
  if (name === status?.drill?.last?.name || (known && completed < known)) return undefined;
  const result = newest.status?.phase === 'Succeeded' ? 'Succeeded' : 'Failed';
  const ended: Ended = {
    result,
    time: corrected(completed, nowMs),
    record: recordOf(newest, status?.drill?.last?.archive),
  };
  return ended;
}

function recordOf({ metadata, status = {} }: KmRestore, archiveBefore: string | undefined): DrillRecord {
  const { reason, resolved, recoverySeconds, archiveAgeSeconds } = status;
  const archive = resolved?.archive.name;
  const again = reason === 'ArchiveTooOld' && archive !== undefined && archive === archiveBefore;
  const message = `${status.message ?? ''}${again ? ' The drill before this one was of the same archive.' : ''}`;
  return {
    name: metadata.name,
    message: message.slice(0, 1024),
    ...(reason !== undefined && { reason }),
    ...(archive !== undefined && { archive }),
    ...(resolved?.archiveTime !== undefined && { archiveTime: resolved.archiveTime }),
    ...(archiveAgeSeconds !== undefined && { archiveAgeSeconds }),
    ...(status.phase === 'Succeeded' && recoverySeconds !== undefined && { recoverySeconds }),
  };
}

/** The fields of the status; those without a value are absent. */
export function drillStatus(
  schedule: Drilled,
  due: DrillsDue,
  active: KmRestore | undefined,
  ended: Ended | undefined,
  nowMs: number,
): DrillStatus {
  const before = schedule.status ?? {};
  const cadence = describeDrills(schedule);
  const changed = before.drill?.cadence !== cadence;
  const last = ended?.record ?? before.drill?.last;
  const lastSuccessful = ended?.result === 'Succeeded' ? ended.record : before.drill?.lastSuccessful;
  const lastDrillTime = ended?.time ?? before.lastDrillTime;
  const lastDrillResult = ended?.result ?? before.lastDrillResult;
  const lastSuccessfulDrillTime = ended?.result === 'Succeeded' ? ended.time : before.lastSuccessfulDrillTime;
  const since = changed || ended ? undefined : before.drill?.dueSince;
  const began = dueTime(schedule, due, active);
  const dueSince = began && (since ?? toTime(Math.min(began, nowMs)));
  return {
    ...(lastDrillTime && { lastDrillTime: corrected(lastDrillTime, nowMs) }),
    ...(lastDrillResult && { lastDrillResult }),
    ...(lastSuccessfulDrillTime && { lastSuccessfulDrillTime: corrected(lastSuccessfulDrillTime, nowMs) }),
    ...(due.ok &&
      due.nextMs !== undefined &&
      !schedule.spec.suspend && { nextDrillTime: toTime(due.nextMs) }),
    drill: {
      cadence,
      since: changed ? toTime(nowMs) : corrected(before.drill?.since ?? toTime(nowMs), nowMs),
      ...(due.ok && due.settledUntilMs !== undefined && { settledUntil: toTime(due.settledUntilMs) }),
      ...(due.ok && due.settledArchives !== undefined && { settledArchives: due.settledArchives }),
      ...(dueSince && { dueSince }),
      ...(active && { active: active.metadata.name }),
      ...(last && { last }),
      ...(lastSuccessful && { lastSuccessful }),
    },
  };
}

/** When the drill that is due or runs became due; epoch ms. */
function dueTime({ status }: Drilled, due: DrillsDue, active: KmRestore | undefined): number | undefined {
  const key = active ? keyOfDrill(active) : due.ok ? due.due : undefined;
  if (key?.kind === 'time') return key.atMs;
  const time = active?.metadata.creationTimestamp ?? (key && status?.lastSuccessfulTime);
  return time === undefined ? undefined : fromTime(time);
}

function roughly(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** What a drill came to, in a sentence. */
export function drillSentence(result: 'Succeeded' | 'Failed', record: DrillRecord): string {
  const { name, reason, message = '', recoverySeconds, archiveAgeSeconds } = record;
  if (result === 'Failed') return `${name}: ${reason === undefined ? '' : `${reason}: `}${message}`;
  const took = recoverySeconds === undefined ? '' : ` It took ${roughly(recoverySeconds)}.`;
  const age = archiveAgeSeconds === undefined ? '' : ` The data was ${roughly(archiveAgeSeconds)} old.`;
  return `${name}: ${message}${took}${age}`;
}

/** The condition that says whether the backups can be restored, as far as drills have shown it. */
export function recoverable(
  { status: before }: Drilled,
  due: DrillsDue,
  creating: boolean,
  { lastDrillResult, drill }: DrillStatus,
): ConditionState {
  const type = 'Recoverable';
  if (!due.ok) return { type, status: 'False', reason: 'InvalidDrill', message: due.problem };
  const refused = before?.conditions?.find((condition) => condition.type === type);
  if (creating && refused?.reason === 'DrillRefused') {
    return { type, status: 'False', reason: 'DrillRefused', message: refused.message };
  }
  if (!lastDrillResult || !drill?.last) {
    return { type, status: 'Unknown', reason: 'NoDrillYet', message: 'No drill has ended yet.' };
  }
  const good = lastDrillResult === 'Succeeded';
  return {
    type,
    status: good ? 'True' : 'False',
    reason: good ? 'DrillSucceeded' : 'DrillFailed',
    message: drillSentence(lastDrillResult, drill.last),
  };
}
