/** What is asked of runs and restores most often. Apart from the schemas, so that a program need not load the schema library. */
import type { BackupPhase, KmBackupStatus } from './backup.ts';
import type { KmRestore, RestorePhase } from './restore.ts';

const FINISHED_RUN: ReadonlySet<BackupPhase | undefined> = new Set([
  'Succeeded',
  'Incomplete',
  'Failed',
  'Skipped',
  'Found',
]);

export function isFinished({ status }: { status?: Pick<KmBackupStatus, 'phase'> }): boolean {
  return FINISHED_RUN.has(status?.phase);
}

const FINISHED_RESTORE: ReadonlySet<RestorePhase | undefined> = new Set([
  'Planned',
  'Succeeded',
  'RolledBack',
  'Failed',
]);

export function isRestoreFinished({ status }: KmRestore): boolean {
  return FINISHED_RESTORE.has(status?.phase);
}

/** Name of the claim that the restore writes to; undefined for scratch space. */
export function targetClaimName({ spec }: KmRestore): string | undefined {
  return spec.target.persistentVolumeClaim?.claimName ?? spec.target.newClaim?.name;
}
