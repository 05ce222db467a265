/** The KmRestore of a drill. Pure. */

import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import type { Drilled } from '../../api/drill-cadence.ts';
import { durationMs } from '../../api/duration.ts';
import { ANNOTATIONS, API_VERSION, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { cadenceOf } from '../../api/schedule-cadence.ts';
import { expectedIntervalSeconds, nextTime } from '../../schedule/index.ts';
import { drillName, labelValue } from '../naming.ts';
import type { NewRestore } from '../plan.ts';
import { fromTime, toTime } from '../time.ts';
import { type DrillKey, keyText } from './key.ts';

/** How long a backup may take to start, on top of the time that the last one took. */
const ALLOWANCE_MS = 15 * 60_000;

/** No drill passes with an archive that was made before this time; epoch ms. */
export function oldestArchiveMs(schedule: Drilled, nowMs: number): number | undefined {
  const { spec, status } = schedule;
  const { maxArchiveAge } = spec.drill;
  const parsed = cadenceOf(schedule);
  const cadence = parsed.ok ? parsed.cadence : undefined;
  const intervalMs = cadence && (expectedIntervalSeconds(cadence, nowMs) ?? Number.POSITIVE_INFINITY) * 1000;
  const maxAgeMs =
    maxArchiveAge === undefined ? 2 * (intervalMs ?? Number.POSITIVE_INFINITY) : durationMs(maxArchiveAge);
  const times: number[] = Number.isFinite(maxAgeMs) ? [nowMs - maxAgeMs] : [];
  const last = status?.drill?.last?.archiveTime;
  if (last !== undefined && cadence) {
    const lastMs = fromTime(last);
    const sinceMs = status?.cadenceSince === undefined ? lastMs : fromTime(status.cadenceSince);
    const dueMs = nextTime(cadence, Math.max(lastMs, sinceMs));
    const takesMs = (status?.lastSuccessfulBackup?.durationSeconds ?? 0) * 1000 + ALLOWANCE_MS;
    // The same archive again proves nothing new, if there should be a newer one by now.
    if (dueMs !== null && dueMs + takesMs <= nowMs && lastMs <= nowMs) times.push(lastMs + 1000);
  }
  return times.length === 0 ? undefined : Math.max(...times);
}

/** The schedule's archives, or the copies of these in a location. */
function sourceOf({ metadata, spec }: Drilled): NewRestore['spec']['source'] {
  const { name, namespace } = metadata;
  const { from } = spec.drill;
  if (!from) return { scheduleName: name };
  const { locationRef, identitySecretRef } = from;
  return {
    location: {
      name: locationRef.name,
      series: `${namespace}/${name}`,
      ...(identitySecretRef && { identitySecretRef }),
    },
  };
}

/** By these the drills of a schedule are found, counted and, beyond its history limit, deleted. */
export function drillMetadata({ metadata: { name, uid } }: KmBackupSchedule) {
  return {
    labels: {
      [LABELS.managedBy]: FIELD_MANAGER,
      [LABELS.schedule]: labelValue(name),
      [LABELS.scheduleUid]: uid,
    },
    ownerReferences: [
      { apiVersion: API_VERSION, kind: 'KmBackupSchedule', name, uid, controller: true },
    ] satisfies NewRestore['metadata']['ownerReferences'],
  };
}

/** What a drill of the schedule restores, where to, and what it checks. */
export function drillSpec(schedule: Drilled): NewRestore['spec'] {
  const { drill, podTemplate } = schedule.spec;
  return {
    source: sourceOf(schedule),
    target: { scratch: drill.scratch },
    startDeadlineSeconds: drill.startDeadlineSeconds,
    deadlineSeconds: drill.deadlineSeconds,
    ...(drill.checks && { checks: drill.checks }),
    ...(podTemplate && { podTemplate }),
  };
}

/** Its name follows from the UID of the schedule and what the drill is for: every operator makes the same one. */
export function newDrill(schedule: Drilled, key: DrillKey, nowMs: number): NewRestore {
  const { name, namespace, uid } = schedule.metadata;
  const oldestMs = oldestArchiveMs(schedule, nowMs);
  const { source, ...rest } = drillSpec(schedule);
  return {
    metadata: {
      name: drillName(name, uid, keyText(key)),
      namespace,
      annotations: { [ANNOTATIONS.drill]: keyText(key) },
      ...drillMetadata(schedule),
    },
    spec: { source: { ...source, ...(oldestMs !== undefined && { notBefore: toTime(oldestMs) }) }, ...rest },
  };
}
