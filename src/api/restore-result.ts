import { z } from 'zod';

const count = z.int().nonnegative();

/** What a restore would do to the target. The digest covers every path and every kind of change. */
export const RestorePlan = z.object({
  /** Hex SHA-256 over the archive and every change: equal plans have equal digests. */
  digest: z.string(),
  added: count,
  /** Content or metadata differs. */
  changed: count,
  removed: count,
  /** Unchanged by size, mtime, ctime and inode of the manifest. */
  kept: count,
  bytesToWrite: count,
  /** Space that the staged tree takes in addition to the live one; bytes. */
  spaceNeededBytes: count,
  /** Absent where the file system does not say. */
  spaceFreeBytes: count.optional(),
  /** First paths of each kind, `+ path`, `~ path`, `- path`; escaped and bounded. */
  samples: z.array(z.string()),
});
export type RestorePlan = z.infer<typeof RestorePlan>;

/** A check of restored content, such as an SQLite file's integrity. */
export const ContentCheck = z.object({
  check: z.enum(['sqlite', 'json', 'gzip']),
  files: count,
  failed: count,
  /** First failures, `path: what is wrong`; escaped and bounded. */
  samples: z.array(z.string()),
});
export type ContentCheck = z.infer<typeof ContentCheck>;

/** A copy in a location that was chosen, with what pins it. */
export const FoundCopy = z.object({
  archive: z.string(),
  series: z.string(),
  /** Hex digests of the archive and of its manifest file. */
  sha256: z.string(),
  manifestSha256: z.string(),
  sizeBytes: count,
  /** When the archive was begun. */
  startedAt: z.iso.datetime(),
  /** User and group of most of its files; absent where it has none. */
  owner: z.object({ uid: count, gid: count }).optional(),
});
export type FoundCopy = z.infer<typeof FoundCopy>;

/**
 * What one `km-backup restore` reports, as RunResult does for a backup: one JSON line by
 * `--result-file`, at most 4,096 bytes.
 */
export const RestoreResult = z.object({
  version: z.literal(1),
  command: z.enum(['find', 'plan', 'stage', 'restore', 'rollback', 'commit', 'resume', 'discard']),
  outcome: z.enum(['Succeeded', 'Failed']),
  /** CamelCase, from the table of reasons. */
  reason: z.string(),
  /** One sentence for people: what, where, why, what to do. */
  message: z.string(),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  found: FoundCopy.optional(),
  plan: RestorePlan.optional(),
  restored: z
    .object({
      entries: count,
      files: count,
      bytes: count,
      /** Of `bytes`, those that were cloned or linked from the live tree instead of being written. */
      reusedBytes: count,
      /** Where the old state is kept, relative to the target; absent where none is. */
      oldState: z.string().optional(),
    })
    .optional(),
  checks: z.array(ContentCheck).optional(),
  /** Owners, modes, times, attributes and entries that could not be restored faithfully. */
  warnings: z.object({ count, samples: z.array(z.string()) }),
});
export type RestoreResult = z.infer<typeof RestoreResult>;
