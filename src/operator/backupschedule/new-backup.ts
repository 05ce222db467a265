/** The KmBackups that a schedule makes. Pure. */
import type { KmBackup, KmBackupSpec } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { backupName, foundName, labelValue } from '../naming.ts';
import type { NewBackup, Step } from '../plan.ts';
import { toTime } from '../time.ts';
import { untrackedArchives } from './inventory.ts';

function newBackup(
  schedule: KmBackupSchedule,
  name: string,
  spec: Omit<KmBackupSpec, 'scheduleName'>,
): NewBackup {
  const { name: scheduleName, namespace, uid } = schedule.metadata;
  return {
    metadata: {
      name,
      namespace,
      labels: {
        [LABELS.managedBy]: FIELD_MANAGER,
        [LABELS.schedule]: labelValue(scheduleName),
        [LABELS.scheduleUid]: uid,
      },
    },
    spec: { scheduleName, ...spec },
  };
}

/** The run for a scheduled time (epoch ms); its name follows from the time and the UID of the schedule. */
export function slotBackup(schedule: KmBackupSchedule, slotMs: number): NewBackup {
  const { name, uid } = schedule.metadata;
  return newBackup(schedule, backupName(name, uid, slotMs), { scheduledTime: toTime(slotMs) });
}

/** KmBackups for archives made by hand or by the original script, so that they are seen and can be restored. */
export function foundBackups(schedule: KmBackupSchedule, finished: readonly KmBackup[]): Step[] {
  const { name, uid } = schedule.metadata;
  return untrackedArchives(finished).map((archiveName) => ({
    kind: 'createBackup',
    backup: newBackup(schedule, foundName(name, uid, archiveName), { archiveName }),
    scheduleUid: uid,
  }));
}
