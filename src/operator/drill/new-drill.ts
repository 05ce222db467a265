/** The KmRestore of a drill. Pure. */

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

/** Its name follows from the UID of the schedule and what the drill is for: every operator makes the same one. */
export function newDrill(schedule: Drilled, key: DrillKey, nowMs: number): NewRestore {
  const { name, namespace, uid } = schedule.metadata;
  const { drill, podTemplate } = schedule.spec;
  const oldestMs = oldestArchiveMs(schedule, nowMs);
  return {
    metadata: {
      name: drillName(name, uid, keyText(key)),
      namespace,
      labels: {
        [LABELS.managedBy]: FIELD_MANAGER,
        [LABELS.schedule]: labelValue(name),
        [LABELS.scheduleUid]: uid,
      },
      annotations: { [ANNOTATIONS.drill]: keyText(key) },
      ownerReferences: [{ apiVersion: API_VERSION, kind: 'KmBackupSchedule', name, uid, controller: true }],
    },
    spec: {
      source: {
        ...sourceOf(schedule),
        ...(oldestMs !== undefined && { notBefore: toTime(oldestMs) }),
      },
      target: { scratch: drill.scratch },
      startDeadlineSeconds: drill.startDeadlineSeconds,
      deadlineSeconds: drill.deadlineSeconds,
      ...(drill.checks && { checks: drill.checks }),
      ...(podTemplate && { podTemplate }),
    },
  };
}
