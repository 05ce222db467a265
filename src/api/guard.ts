/** The guard: limits beyond which a new archive is suspicious, and what a run and a schedule report of it. */
import { z } from 'zod';

const Percent = z.int().min(1).max(100);

export const Guard = z
  .object({
    maxShrinkPercent: Percent.optional().describe(
      'An archive whose source has this many percent fewer files or bytes than the archive before it is suspicious.',
    ),
    maxChangePercent: Percent.optional().describe(
      'An archive is suspicious if more than this many percent of the files of the archive before it are gone or have other content.',
    ),
  })
  .describe(
    'Keeps all archives while one is suspicious: its source shrank or changed beyond a limit, or much content that used to compress no longer does. A suspicious archive is approved by the annotation km.duskmantle.io/approved=true on its KmBackup.',
  );
export type Guard = z.infer<typeof Guard>;

/** In the status of a KmBackup. */
export const BackupSuspicion = z
  .object({
    comparedWith: z.string().describe('The archive that it was compared with.'),
    rules: z.array(z.string()).describe('shrink, change, or compression.'),
    message: z.string(),
  })
  .describe('Why the guard found the archive suspicious.');

/** In the status of a KmBackupSchedule. */
export const ScheduleSuspicions = z
  .object({
    backups: z.array(z.string()).describe('KmBackups with suspicious archives that nobody approved.'),
    approvedArchives: z
      .array(z.string())
      .describe('Archives approved by annotation. The next run notes it on the destination.'),
  })
  .describe('Suspicious archives. While `backups` names any, retention removes nothing.');
export type ScheduleSuspicions = z.infer<typeof ScheduleSuspicions>;
