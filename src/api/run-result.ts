import { z } from 'zod';

/**
 * What one run of `km-backup` reports: one line of JSON, written to `--result-file`. In a pod that is the container's
 * termination message (at most 4,096 bytes).
 */
export const RunResult = z.object({
  version: z.literal(1),
  /**
   * - `Succeeded`: a named archive whose manifest was checked, every file captured faithfully.
   * - `Incomplete`: a named, verified archive, but some files changed, shrank or could not be read.
   * - `Skipped`: another run holds the destination's lock.
   * - `Failed`: no archive, or one that a power failure may undo; the message says which.
   */
  outcome: z.enum(['Succeeded', 'Incomplete', 'Skipped', 'Failed']),
  /** CamelCase, for machines: `ArchiveVerified`, `FilesNotCaptured`, `Locked`, `NoSpace`, `SourceMissing`… */
  reason: z.string(),
  /** One sentence for people: what, where, why, what to do. */
  message: z.string(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  archive: z
    .object({
      /** File name inside the destination directory. */
      name: z.string(),
      path: z.string(),
      sizeBytes: z.int().nonnegative(),
      /** Hex digest of the whole archive file. */
      sha256: z.string(),
      /** Hex digest of the manifest file. */
      manifestSha256: z.string(),
      entries: z.int().nonnegative(),
      files: z.int().nonnegative(),
      /** Sum of the sizes of the regular files packed. */
      sourceBytes: z.int().nonnegative(),
      /** Compressed bytes copied from the previous archive instead of being read and compressed again. */
      reusedBytes: z.int().nonnegative(),
    })
    .optional(),
  /** Problems to look at although the archive is sound, in sentences. Example: a damaged earlier archive. */
  notes: z.array(z.string()).optional(),
  /** The guard found the archive suspicious. Absent: it did not, or there is no guard. */
  suspicious: z
    .object({
      /** Name of the archive that it was compared with. */
      comparedWith: z.string(),
      rules: z.array(z.string()),
      message: z.string(),
    })
    .optional(),
  warnings: z.object({
    count: z.int().nonnegative(),
    /** The first few, each bounded and with control characters escaped. */
    samples: z.array(z.string()),
  }),
  /** Archives removed by retention in this run. */
  pruned: z.object({
    count: z.int().nonnegative(),
    failed: z.int().nonnegative(),
    names: z.array(z.string()),
  }),
  /** Managed archives of this series present after the run (newest first; `names` is cut to fit). */
  present: z.object({
    count: z.int().nonnegative(),
    bytes: z.int().nonnegative(),
    names: z.array(z.string()),
    /** One letter for each name, as by `classLetters`. Absent in results of earlier versions. */
    classes: z.string().optional(),
    /** Names of suspicious archives that nobody approved. Absent in results of earlier versions. */
    suspicious: z.array(z.string()).optional(),
  }),
});
export type RunResult = z.infer<typeof RunResult>;
