import { z } from 'zod';
import { BackupCopyStatus } from './copy.ts';
import { BackupSuspicion } from './guard.ts';
import type { ObjectMeta } from './metadata.ts';
import { Conditions, ResourceName, rules, Time } from './schema.ts';

export const KmBackupSpec = z
  .object({
    scheduleName: ResourceName.describe(
      'KmBackupSchedule in this namespace that says what to back up, where to and how.',
    ),
    scheduledTime: Time.optional().describe(
      'The scheduled time of this run, set by the operator. Absent for a run created by hand, which starts at once.',
    ),
    archiveName: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe(
        'Set by the operator for an archive that was found on the destination and that no run made. Nothing is run.',
      ),
  })
  .meta(rules({ rule: 'self == oldSelf', message: 'a run cannot be changed: create another KmBackup' }));
export type KmBackupSpec = z.infer<typeof KmBackupSpec>;

export const BackupPhase = z.enum([
  'Pending',
  'Running',
  'Succeeded',
  'Incomplete',
  'Failed',
  'Skipped',
  'Found',
]);
export type BackupPhase = z.infer<typeof BackupPhase>;

export const KmBackupStatus = z.object({
  phase: BackupPhase.optional().describe(
    'Succeeded: a verified archive of every file. Incomplete: a verified archive, but some files changed or could not be read. Skipped: another run held the destination. Found: an archive that had no KmBackup; the message says what its manifest records.',
  ),
  reason: z.string().optional(),
  message: z.string().optional().describe('What happened, and what to do about it.'),
  conditions: Conditions.optional(),
  job: z
    .object({ name: z.string(), uid: z.string().optional() })
    .optional()
    .describe('The Job of this run; `uid` once it is known to exist.'),
  destination: z
    .object({ claimName: z.string(), path: z.string().describe('Folder inside the claim.') })
    .optional()
    .describe('Where this run writes, even if the schedule changes.'),
  startTime: Time.optional().describe('When the operator started the run.'),
  awaiting: z
    .object({
      event: z.enum(['ScheduleCreated', 'JobAccepted', 'PodCreated', 'PodStarted', 'PodEnded', 'Completed']),
      pod: z.string().optional(),
      since: Time,
    })
    .optional()
    .describe(
      'What an unfinished run waits for. `spec.startDeadlineSeconds` of the schedule counts from `since`; for `Completed`, which means that km-backup runs, `spec.activeDeadlineSeconds` does.',
    ),
  completionTime: Time.optional(),
  durationSeconds: z.number().optional(),
  archive: z
    .object({
      name: z.string(),
      claimName: z.string(),
      path: z.string().describe('Folder of the archive inside the claim.'),
      sizeBytes: z.int().optional(),
      sha256: z.string().optional(),
      manifestSha256: z.string().optional(),
      entries: z.int().optional(),
      files: z.int().optional(),
      sourceBytes: z.int().optional(),
      reusedBytes: z.int().optional(),
    })
    .optional(),
  suspicious: BackupSuspicion.optional(),
  warnings: z.object({ count: z.int(), samples: z.array(z.string()) }).optional(),
  copies: z
    .array(BackupCopyStatus)
    .optional()
    .describe('The archive in each location of `spec.copies` of the schedule.'),
  pruned: z
    .object({ count: z.int(), failed: z.int(), names: z.array(z.string()) })
    .optional()
    .describe('Archives that retention removed in this run.'),
  present: z
    .object({
      count: z.int(),
      bytes: z.int(),
      names: z.array(z.string()),
      classes: z
        .string()
        .optional()
        .describe(
          'One letter for each of `names`, from its manifest: complete, incomplete, unverified (it has none), x for corrupt.',
        ),
      suspicious: z
        .array(z.string())
        .optional()
        .describe(
          'Archives that the guard found suspicious and that nobody had approved by then, at most 20.',
        ),
    })
    .optional()
    .describe('Archives of the schedule on the destination after this run, newest first.'),
});
export type KmBackupStatus = z.infer<typeof KmBackupStatus>;

export interface KmBackup {
  apiVersion: string;
  kind: 'KmBackup';
  metadata: ObjectMeta;
  spec: KmBackupSpec;
  status?: KmBackupStatus;
}
