/** What `km-backup copy` and `km-backup location check` report, as RunResult does for a backup: one JSON line by `--result-file`. */
import { z } from 'zod';

const count = z.int().nonnegative();

const common = {
  version: z.literal(1),
  outcome: z.enum(['Succeeded', 'Failed']),
  /** CamelCase, from the table of reasons. */
  reason: z.string(),
  /** One sentence for people: what, where, why, what to do. */
  message: z.string(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
};

export const CopyResult = z.object({
  ...common,
  command: z.literal('copy'),
  /** The newest archive that the location has confirmed in this run. */
  archive: z.string().optional(),
  /** Archives that the location has confirmed, newest first; cut to fit. */
  confirmed: z.array(z.string()),
  uploadedBytes: count,
  reusedBytes: count,
  /** Copies that retention removed. */
  pruned: z.object({ count, failed: count, names: z.array(z.string()) }),
  /** Copies of the series after the run; absent if nobody looked. */
  present: z.object({ count, bytes: count }).optional(),
  /** Copies of the series that another writer made. */
  foreign: count,
  /** Archives that could not be copied, and copies that could not be removed. */
  warnings: z.object({ count, samples: z.array(z.string()) }),
});
export type CopyResult = z.infer<typeof CopyResult>;

export const CheckResult = z.object({
  ...common,
  command: z.literal('check'),
  locationId: z.string().optional(),
  /** Why nothing can be deleted; absent if deleting works. */
  deleteRefused: z.string().optional(),
  usage: z.object({ archives: count, objects: count, bytes: count }).optional(),
});
export type CheckResult = z.infer<typeof CheckResult>;
