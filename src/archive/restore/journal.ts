import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../../posix/atomic-file.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';

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

const Fields = z.object({
  version: z.literal(1),
  /** Given by the caller, so that a repeated request is known again. */
  id: z.string(),
  target: z.string(),
  archive: z.string(),
  startedAt: z.iso.datetime(),
  /**
   * - `staging`: the live tree is untouched; what was staged is worth nothing yet.
   * - `swapping`: must be completed; every step can be told done or not from the names on disk.
   * - `swapped`: the new tree lives, the old one is kept.
   * - `removing`: the tree that is kept is being deleted.
   */
  phase: z.enum(['staging', 'swapping', 'swapped', 'removing']),
  /** `back` while a rollback swaps the old tree in again. */
  direction: z.enum(['forward', 'back']),
  /**
   * - `exchange`: one atomic swap of two directories.
   * - `rename`: the live tree moves out, then the other one in.
   * - `children`: the same for each name below a directory that cannot be renamed.
   */
  mode: z.enum(['exchange', 'rename', 'children']),
  /** What becomes of the tree that moves out by a restore. */
  oldState: z.enum(['keep', 'remove']),
  /** Whether there was a tree to move out, and whether there is one to move in. */
  hasOutgoing: z.boolean(),
  hasIncoming: z.boolean(),
  /** `dev:ino` of the tree that moves in by an exchange: tells whether that has happened. */
  incomingInode: z.string().optional(),
  /** Names directly below the tree that moves in, one byte a character (mode `children`). */
  incomingNames: z.array(z.string()),
  /** Both trees are in their places; what is left of the swap is to carry the archives over. */
  moved: z.boolean(),
  /** Files (archives) that go from the tree moving out to the one moving in, relative, one byte a character. */
  preservedArchives: z.array(z.string()),
  /** Of a directory that stays in place: before the restore, and of the archive. */
  rootBefore: RootMetadata.optional(),
  rootAfter: RootMetadata.optional(),
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

const JOURNAL = 'journal';
const TEMPORARY = 'journal.tmp';
export const LOCK = 'lock';
export const NEW = 'new';
export const OLD = 'old';
const ownNames: ReadonlySet<string> = new Set([JOURNAL, TEMPORARY, LOCK, NEW, OLD]);

/** The journal in a state directory; undefined where there is none. */
export function readJournal(state: string): Journal | undefined {
  let text: string;
  try {
    text = fs.readFileSync(path.join(state, JOURNAL), 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  const parsed = Journal.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new ArchiveError(
    'RestoreFailed',
    `${path.join(state, JOURNAL)}: not a restore journal this version understands (${z.prettifyError(parsed.error).replaceAll('\n', ' ')}). Nothing was changed; finish with the version of km-backup that began the restore.`,
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

/** Names in a state directory that no restore made: it is somebody else's directory then. */
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
