import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../../posix/atomic-file.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { shown, stateOfAnother } from './failures.ts';
import { HISTORY, HISTORY_TEMPORARY } from './history.ts';

const RootMetadata = z.object({
  mode: z.int().nonnegative(),
  uid: z.int().nonnegative(),
  gid: z.int().nonnegative(),
  mtimeNs: z.string().regex(/^-?\d+$/),
  /** Name to base64. */
  xattrs: z.record(z.string(), z.string()),
});
/** What a directory that stays in place (a mount point) takes over from the tree that moves in. */
export type RootMetadata = z.infer<typeof RootMetadata>;

export const ContentCheckResult = z.object({
  check: z.enum(['sqlite', 'json', 'gzip']),
  files: z.int().nonnegative(),
  failed: z.int().nonnegative(),
  /** First failures, `path: what is wrong`; escaped and bounded. */
  samples: z.array(z.string()),
});
export type ContentCheckResult = z.infer<typeof ContentCheckResult>;

export const StagedTotals = z.object({
  entries: z.int().nonnegative(),
  files: z.int().nonnegative(),
  bytes: z.int().nonnegative(),
  /** Of `bytes`, those that were cloned or linked from the live tree instead of being written. */
  reusedBytes: z.int().nonnegative(),
  warnings: z.object({ count: z.int().nonnegative(), samples: z.array(z.string()) }),
  checks: z.array(ContentCheckResult).optional(),
});
export type StagedTotals = z.infer<typeof StagedTotals>;

const Fields = z.object({
  version: z.literal(1),
  /** Given by the caller, so that a repeated request is recognized. */
  id: z.string(),
  /** The id was chosen by the caller, who may repeat the request at any later time. */
  named: z.boolean().default(false),
  target: z.string(),
  archive: z.string(),
  startedAt: z.iso.datetime(),
  /**
   * - `staging`: the live tree is unchanged; what was staged has no value yet.
   * - `staged`: the live tree is unchanged; the new one is complete and waits for the same request to go on.
   * - `swapping`: must be completed or undone; the names on disk show which steps are done.
   * - `swapped`: the new tree is live, the old one is kept.
   * - `removing`: the tree that was kept is being deleted.
   */
  phase: z.enum(['staging', 'staged', 'swapping', 'swapped', 'removing']),
  /** `back` while a rollback swaps the old tree in again. */
  direction: z.enum(['forward', 'back']),
  /**
   * - `exchange`: one atomic swap of two directories.
   * - `rename`: the live tree moves out, then the other one in.
   * - `children`: the same for each name below a directory that cannot be renamed.
   * - `paths`: the same for each chosen path, one after the other.
   */
  mode: z.enum(['exchange', 'rename', 'children', 'paths']),
  /** What was chosen (mode `paths`), one byte per character. */
  paths: z.array(z.string()).optional(),
  /** What moves out (mode `paths`), if it is there. */
  outgoingNames: z.array(z.string()).optional(),
  /** What happens to the tree that a restore moves out. */
  oldState: z.enum(['keep', 'remove']),
  /** Whether there was a tree to move out, and whether there is one to move in. */
  hasOutgoing: z.boolean(),
  hasIncoming: z.boolean(),
  /** `dev:ino` of the tree that moves in as a whole: shows whether that has happened. */
  incomingInode: z.string().optional(),
  /** Names directly below the tree that moves in (mode `children`) or paths in it (`paths`), one byte per character. */
  incomingNames: z.array(z.string()),
  /** Both trees are in their places; the archives may still have to be preserved. */
  moved: z.boolean(),
  /**
   * Directories that are made writable for the swap, with the mode that they get back. `name` is directly below
   * their tree, '' for the tree itself, one byte per character.
   */
  modes: z
    .array(
      z.object({ tree: z.enum(['outgoing', 'incoming']), name: z.string(), mode: z.int().nonnegative() }),
    )
    .default([]),
  /** Archive files that move from the outgoing to the incoming tree: relative, one byte per character. */
  preservedArchives: z.array(z.string()),
  /** Modification times of both trees' roots in ns, which some file systems change when they exchange directories. */
  rootTimes: z
    .object({
      outgoing: z
        .string()
        .regex(/^-?\d+$/)
        .optional(),
      incoming: z.string().regex(/^-?\d+$/),
    })
    .optional(),
  /** Metadata of a directory that stays in place: before the restore, and from the archive. */
  rootBefore: RootMetadata.optional(),
  rootAfter: RootMetadata.optional(),
  /** A rollback undid the unfinished swap. */
  undone: z.boolean().optional(),
  /** Digests that the request demanded of its archive. */
  pinned: z.object({ manifestSha256: z.string().optional(), sha256: z.string().optional() }).optional(),
  /** What was staged, for the report of a later run of the same request. */
  staged: StagedTotals.optional(),
});
/** `carry` is what version 0.1.0 called `preservedArchives`. */
const Journal = z.preprocess(
  (value) =>
    typeof value === 'object' && value !== null && 'carry' in value
      ? { ...value, preservedArchives: value.carry }
      : value,
  Fields,
);
export type Journal = z.infer<typeof Fields>;

/** The journal of a restore that begins: nothing is staged yet. A request without an id gets one. */
export function beginJournal(
  { id, startedAt, pinned }: { id: string | undefined; startedAt: Date; pinned: Journal['pinned'] },
  what: Pick<Journal, 'target' | 'archive' | 'mode' | 'paths' | 'oldState' | 'hasOutgoing'>,
): Journal {
  return {
    version: 1,
    id: id ?? randomUUID(),
    named: id !== undefined,
    startedAt: startedAt.toISOString(),
    phase: 'staging',
    direction: 'forward',
    ...what,
    hasIncoming: true,
    incomingNames: [],
    moved: false,
    modes: [],
    preservedArchives: [],
    ...(pinned && { pinned }),
  };
}

const JOURNAL = 'journal';
const TEMPORARY = 'journal.tmp';
export const LOCK = 'lock';
export const NEW = 'new';
export const OLD = 'old';
/** Private copies for checks of content. */
export const CHECK = 'check';
const ownNames: ReadonlySet<string> = new Set([
  JOURNAL,
  TEMPORARY,
  HISTORY,
  HISTORY_TEMPORARY,
  LOCK,
  NEW,
  OLD,
  CHECK,
]);

/**
 * @returns The journal in a state directory; undefined when there is none.
 * @throws {ArchiveError} RestoreFailed when this version does not understand it.
 */
export function readJournal(state: string): Journal | undefined {
  let text: string;
  try {
    text = fs.readFileSync(path.join(state, JOURNAL), 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'EACCES') throw stateOfAnother(state, fs.lstatSync(state).uid, error);
    throw error;
  }
  const parsed = Journal.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new ArchiveError(
    'RestoreFailed',
    `${shown(path.join(state, JOURNAL))}: not a restore journal that this version understands (${z.prettifyError(parsed.error).replaceAll('\n', ' ')}). Nothing was changed; finish with the version of km-backup that began the restore.`,
  );
}

/** Replaces the journal atomically and durably. */
export function writeJournal(state: string, journal: Journal): void {
  writeJsonAtomic(path.join(state, JOURNAL), journal, { mode: 0o600, temporary: TEMPORARY });
}

export function removeJournal(state: string): void {
  fs.rmSync(path.join(state, TEMPORARY), { force: true });
  fs.rmSync(path.join(state, JOURNAL), { force: true });
  syncDirectory(state);
}

/** Names in a state directory that no restore created: the directory belongs to something else then. */
export function foreignNames(state: string): string[] {
  return fs.readdirSync(state).filter((name) => !ownNames.has(name));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
