/** Copies of archives in a KmBackupLocation: what a schedule wants, and what came of it. */
import { z } from 'zod';
import { Retention } from './retention-fields.ts';
import { ResourceName, rules, Time, unique } from './schema.ts';

export const CopySpec = z.object({
  locationRef: z.object({
    name: ResourceName.describe('KmBackupLocation in the namespace of the schedule.'),
  }),
  retention: Retention.optional().describe(
    'Which copies to keep in this location. Default: the retention of the archives. Applied only after a copy that succeeded; never removes the newest complete copy.',
  ),
});
export type CopySpec = z.output<typeof CopySpec>;

export const CopySpecs = z
  .array(CopySpec)
  .max(8)
  .meta(rules(unique('locationRef.name', 'must name each location once')))
  .describe(
    'Locations that every complete archive is copied to, by a Job of its own after the run. A copy that fails is tried again; the run stays what it was.',
  );

export const CopyPhase = z.enum(['Pending', 'Copying', 'Copied', 'Failed']);
export type CopyPhase = z.infer<typeof CopyPhase>;

const copyState = {
  location: z.string().describe('Name of the KmBackupLocation.'),
  phase: CopyPhase.describe('Failed: tried again, see `nextAttemptTime` of the schedule.'),
  reason: z.string().optional(),
  message: z.string().optional().describe('What happened, and what to do about it.'),
};

/** In `status.copies` of a KmBackup: its archive in one location. */
export const BackupCopyStatus = z.object({
  ...copyState,
  time: Time.optional().describe('When the copy was confirmed, or failed.'),
  uploadedBytes: z.int().optional().describe('Bytes that the copy stored.'),
  reusedBytes: z.int().optional().describe('Bytes that the location had already.'),
});
export type BackupCopyStatus = z.infer<typeof BackupCopyStatus>;

/** In `status.copies` of a KmBackupSchedule: its archives in one location. */
export const ScheduleCopyStatus = z.object({
  ...copyState,
  backup: z.string().optional().describe('The KmBackup whose archive was last confirmed.'),
  archive: z.string().optional().describe('The newest archive that the location has.'),
  locationId: z.string().optional().describe('Id of the location that has it.'),
  waitingSince: Time.optional().describe(
    'When the oldest run since the last copy ended; absent if the newest archive is copied.',
  ),
  lastSuccessfulTime: Time.optional().describe('When the newest archive was last confirmed in the location.'),
  lastFailureTime: Time.optional(),
  attempted: z.string().optional().describe('The KmBackup of the last attempt.'),
  failures: z.int().optional().describe('Attempts that failed since the last success.'),
  nextAttemptTime: Time.optional().describe('When a failed copy is tried again, at the latest.'),
  uploadedBytes: z.int().optional().describe('Bytes that copies stored since the schedule was created.'),
  reusedBytes: z.int().optional().describe('Bytes that copies found in the location already.'),
  copied: z.int().optional().describe('Copies that succeeded since the schedule was created.'),
  failed: z.int().optional().describe('Copies that failed since the schedule was created.'),
  present: z
    .object({ count: z.int(), bytes: z.int() })
    .optional()
    .describe('Copies of this schedule in the location, and the bytes of their archives.'),
  foreign: z.int().optional().describe('Copies of the same series that another writer made.'),
  attempts: z.int().optional().describe('Copy Jobs so far; the name of the next one follows from it.'),
  job: z.object({ name: z.string(), uid: z.string().optional() }).optional(),
});
export type ScheduleCopyStatus = z.infer<typeof ScheduleCopyStatus>;
