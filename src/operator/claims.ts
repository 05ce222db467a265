/** The claims that a schedule names, and what is wrong with them. Pure. */
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { BackupReason } from '../api/reasons.ts';
import { claimNamesOf } from '../api/schedule-claims.ts';
import type { PersistentVolumeClaim } from './workloads.ts';

/** Keys of the claims that a schedule names. */
export const claimKeysOf = ({ metadata, spec }: KmBackupSchedule): string[] =>
  claimNamesOf(spec).map((name) => `${metadata.namespace}/${name}`);

export interface ClaimProblem {
  reason: Extract<BackupReason, 'ClaimNotFound' | 'ClaimIsBlock'>;
  message: string;
}

/** Why runs cannot use a claim; undefined if they can. */
export function claimProblem(
  namespace: string,
  name: string,
  claim: PersistentVolumeClaim | undefined,
): ClaimProblem | undefined {
  if (!claim)
    return {
      reason: 'ClaimNotFound',
      message: `There is no PersistentVolumeClaim ${name} in namespace ${namespace}. Create it, or name another in the schedule.`,
    };
  if (claim.spec.volumeMode === 'Block')
    return {
      reason: 'ClaimIsBlock',
      message: `PersistentVolumeClaim ${name} is a raw block device (volumeMode: Block), and km-backup reads files. Name a claim with volumeMode: Filesystem in the schedule.`,
    };
  return undefined;
}
