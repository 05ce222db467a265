/** The claims that a KmBackupSchedule names. Pure. */
import type { KmBackupScheduleSpec } from './backup-schedule.ts';

/** Claim and folder of a schedule's archives. */
export function destinationOf(spec: KmBackupScheduleSpec): { claimName: string; path: string } {
  return {
    claimName:
      spec.destination.persistentVolumeClaim?.claimName ?? spec.source.persistentVolumeClaim.claimName,
    path: spec.destination.path,
  };
}

/** The source, then the destination if it is another claim. */
export function claimNamesOf(spec: KmBackupScheduleSpec): string[] {
  return [...new Set([spec.source.persistentVolumeClaim.claimName, destinationOf(spec).claimName])];
}
