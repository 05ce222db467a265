/** The KmBackups that a schedule makes. Pure. */
import type { KmBackupSpec } from '../../api/backup.ts';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { ANNOTATIONS, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { backupName, foundName, labelValue } from '../naming.ts';
import type { NewBackup, Step } from '../plan.ts';
import { toTime } from '../time.ts';
import { destinationText } from '../workloads.ts';
import type { Inventory } from './inventory.ts';

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

/** KmBackups for archives without one, so that they are seen and can be restored. */
export function foundBackups(schedule: KmBackupSchedule, inventory: Inventory): Step[] {
  const { name, uid } = schedule.metadata;
  return inventory.untracked().map(({ name: archiveName, destination, class: kind }) => {
    const place = destinationText(destination);
    const backup = newBackup(schedule, foundName(name, uid, `${place}/${archiveName}`), { archiveName });
    const annotations = {
      [ANNOTATIONS.destination]: place,
      ...(kind && { [ANNOTATIONS.archiveClass]: kind }),
    };
    return {
      kind: 'createBackup',
      backup: { ...backup, metadata: { ...backup.metadata, annotations } },
      scheduleUid: uid,
    };
  });
}
