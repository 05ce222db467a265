import type { KmBackupStatus } from './backup.ts';

const stamp = /(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z?\./;

/** When the archive of a run was made: by its name, else by the end of the run. */
export function archiveTimeOf({
  status,
}: {
  status?: { archive?: { name: string } | undefined } & Pick<KmBackupStatus, 'completionTime'>;
}): string | undefined {
  const match = stamp.exec(status?.archive?.name ?? '');
  if (match) {
    const [, year, month, day, hour, minute, second] = match;
    const time = `${year}-${month}-${day}T${hour}:${minute}:${second}Z`;
    if (!Number.isNaN(Date.parse(time))) return time;
  }
  return status?.completionTime;
}
