import { createHash } from 'node:crypto';

/** The container of a Job in which km-backup runs. */
export const CONTAINER = 'km-backup';

/** A DNS-1123 label has at most 63 characters; a Job's pods add a suffix of 6. */
const MAX_NAME = 63 - 6;

/** A hash of a UID: 8 characters of `[0-9a-z]`. */
export function shortHash(uid: string): string {
  return BigInt(`0x${createHash('sha256').update(uid).digest('hex').slice(0, 12)}`)
    .toString(36)
    .padStart(8, '0')
    .slice(-8);
}

/**
 * The name of the run for a scheduled time (epoch ms). Every operator computes the same one; a schedule that was
 * deleted and created again has another. Minutes are enough, because scheduled times are at least a minute apart.
 */
export function backupName(scheduleName: string, scheduleUid: string, scheduledMs: number): string {
  const minute = new Date(scheduledMs).toISOString().replace(/[-:T]/g, '').slice(0, 12);
  const suffix = `-${minute}-${shortHash(scheduleUid)}`;
  return `${scheduleName.slice(0, MAX_NAME - suffix.length).replace(/[-.]+$/, '')}${suffix}`;
}

/** The name of the KmRestore of a drill, from the time or the number of archives that it is for. */
export function drillName(scheduleName: string, scheduleUid: string, key: string): string {
  const suffix = `-drill-${key.replace(/[-:TZ]/g, '').slice(0, 14)}-${shortHash(scheduleUid)}`;
  return `${scheduleName.slice(0, MAX_NAME - suffix.length).replace(/[-.]+$/, '')}${suffix}`;
}

/** The name of the KmBackup for an archive that no run of the schedule made. */
export function foundName(scheduleName: string, scheduleUid: string, archiveName: string): string {
  const suffix = `-found-${shortHash(`${scheduleUid}/${archiveName}`)}`;
  return `${scheduleName.slice(0, MAX_NAME - suffix.length).replace(/[-.]+$/, '')}${suffix}`;
}

/** The name of a run's Job: the run's name if it fits, otherwise shortened and made unique by the UID. */
export function jobName(backupName: string, backupUid: string): string {
  if (backupName.length <= MAX_NAME && !backupName.includes('.')) return backupName;
  const suffix = `-${shortHash(backupUid)}`;
  return `${backupName
    .replaceAll('.', '-')
    .slice(0, MAX_NAME - suffix.length)
    .replace(/-+$/, '')}${suffix}`;
}

/** A value for a label: at most 63 characters, ending in a letter or digit. */
export function labelValue(text: string): string {
  return text.slice(0, 63).replace(/[^A-Za-z0-9]+$/, '');
}
