/** `spec.drill` of a KmBackupSchedule: restores into scratch space on a schedule, and what they have proven. */
import { z } from 'zod';
import { Cron, TimeZone } from './cadence.ts';
import { Duration } from './duration.ts';
import { ResourceName, rules, Time } from './schema.ts';
import { ContentChecks, Scratch } from './scratch.ts';

export const Drill = z
  .object({
    cron: Cron.optional().describe('When to drill. `H` stands for a value hashed from the UID.'),
    timeZone: TimeZone.optional().describe("IANA time zone in which cron is read. Default: the schedule's."),
    every: z
      .int()
      .min(1)
      .max(10_000)
      .optional()
      .describe('Drill after this many complete archives instead; with `from`, after this many copies.'),
    maxArchiveAge: Duration.optional().describe(
      'A drill fails if the newest complete archive is older. Default: twice the longest interval between backups.',
    ),
    from: z
      .object({
        locationRef: z.object({
          name: ResourceName.describe('KmBackupLocation in the namespace of the schedule.'),
        }),
        identitySecretRef: z
          .object({ name: ResourceName })
          .optional()
          .describe('Secret with the age identity in its key `identity`. Needed for encrypted copies.'),
      })
      .optional()
      .describe(
        "Restore the newest complete copy of the schedule's archives in a location instead, which also proves the copy, the way to it and the identity. Whoever reads Secrets of the namespace can then read the copies.",
      ),
    checks: ContentChecks.optional(),
    scratch: Scratch.describe('Ephemeral volume to restore into. It is gone when the drill ends.'),
    startDeadlineSeconds: z
      .int()
      .min(10)
      .default(600)
      .describe('A drill whose pod has not started by then has failed.'),
    deadlineSeconds: z.int().min(60).default(21_600).describe('A drill that takes longer fails.'),
    historyLimit: z
      .int()
      .min(1)
      .max(100)
      .default(3)
      .describe('How many finished drills (KmRestores) to keep.'),
  })
  .meta(
    rules(
      {
        rule: 'has(self.cron) != has(self.every)',
        message: 'must have exactly one of cron (a time) and every (a number of archives)',
      },
      {
        rule: '!has(self.timeZone) || has(self.cron)',
        message: 'timeZone needs cron',
        fieldPath: '.timeZone',
      },
      {
        rule: "!has(self.maxArchiveAge) || !self.maxArchiveAge.startsWith('0')",
        message: 'must be longer than 0: no archive is that new',
        fieldPath: '.maxArchiveAge',
      },
    ),
  )
  .describe(
    'Restores the newest complete archive into scratch space on a schedule, and reports whether and how fast it came back. Not while the schedule is suspended.',
  );
export type Drill = z.output<typeof Drill>;

const DrillRecord = z.object({
  name: z.string().describe('KmRestore of the drill. It may no longer exist.'),
  reason: z.string().optional(),
  message: z.string().optional(),
  archive: z.string().optional(),
  archiveTime: Time.optional().describe('When the archive was made.'),
  archiveAgeSeconds: z.int().optional().describe('Age of the data when the drill began.'),
  recoverySeconds: z.number().optional().describe('From the start of the drill to its success.'),
});
export type DrillRecord = z.infer<typeof DrillRecord>;

/** Fields of the status of a KmBackupSchedule. */
export const DrillStatus = z.object({
  lastDrillTime: Time.optional().describe('When the last drill ended.'),
  lastDrillResult: z.enum(['Succeeded', 'Failed']).optional(),
  lastSuccessfulDrillTime: Time.optional(),
  nextDrillTime: Time.optional().describe('The next time of spec.drill.cron.'),
  drill: z
    .object({
      cadence: z.string().describe('What `settledUntil` and `settledArchives` belong to.'),
      since: Time.describe('Since when `cadence` applies.'),
      settledUntil: Time.optional().describe('Every time of the cron up to here has had its drill.'),
      settledArchives: z
        .int()
        .optional()
        .describe('How many complete archives there were when the last drill was due (spec.drill.every).'),
      dueSince: Time.optional().describe('Since when a drill is due or runs.'),
      active: z.string().optional().describe('KmRestore of the drill that runs.'),
      last: DrillRecord.optional(),
      lastSuccessful: DrillRecord.optional(),
    })
    .optional(),
});
export type DrillStatus = z.infer<typeof DrillStatus>;
