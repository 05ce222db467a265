import type { BackupReason, RestoreReason, ScheduleReason } from '../api/reasons.ts';
import type { StepRefusedError } from './apply.ts';

/** Why the API server refused to create an object, for a status. */
export interface Refusal<R> {
  reason: R;
  message: string;
}

const JOB_REASONS: Readonly<Record<string, BackupReason>> = {
  Forbidden: 'JobForbidden',
  Invalid: 'JobInvalid',
  AlreadyExists: 'NameTaken',
};

export function refusalOfJob({ reason, message }: StepRefusedError): Refusal<BackupReason> {
  return { reason: JOB_REASONS[reason] ?? 'JobRefused', message };
}

/** A run or drill that could not be created. */
export function refusalOfSchedule({ step, message }: StepRefusedError): Refusal<ScheduleReason> | undefined {
  if (step.kind === 'createBackup') {
    const { name } = step.backup.metadata;
    return { reason: 'BackupRefused', message: `KmBackup ${name} could not be created. ${message}` };
  }
  if (step.kind !== 'createRestore') return undefined;
  const { name } = step.restore.metadata;
  return { reason: 'DrillRefused', message: `KmRestore ${name} could not be created. ${message}` };
}

/** A Job or claim that could not be created, or a workload that could not be stopped. */
export function refusalOfRestore(error: StepRefusedError): Refusal<BackupReason | RestoreReason> {
  if (error.step.kind === 'createJob') return refusalOfJob(error);
  return {
    reason: error.step.kind === 'createClaim' ? 'ClaimRefused' : 'CannotQuiesce',
    message: error.message,
  };
}
