import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { writeJsonAtomic } from '../../posix/atomic-file.ts';
import { codeOf } from '../../posix/system-error.ts';
import { messageOf, refused, shown, stateOfAnother } from './failures.ts';

/*
 * Requests with an id of their own that have ended, so that none of them is done a second time, however long ago it
 * was. Lies in the state directory, which is then kept for it.
 */

const DoneRequest = z.object({
  id: z.string(),
  outcome: z.enum(['restored', 'rolledBack']),
  archive: z.string(),
  startedAt: z.string(),
  entries: z.int().nonnegative().optional(),
  files: z.int().nonnegative().optional(),
  bytes: z.int().nonnegative().optional(),
  /** Only chosen paths were restored. */
  partial: z.boolean().optional(),
});
export type DoneRequest = z.infer<typeof DoneRequest>;

const History = z.object({ version: z.literal(1), done: z.array(DoneRequest) });

export const HISTORY = 'history';
export const HISTORY_TEMPORARY = 'history.tmp';
/** Requests remembered; about 300 bytes each. */
const MAX_DONE = 500;

/**
 * Looks for a request in the histories of all places where a target may have had its state.
 *
 * @throws {ArchiveError} RestoreRefused when a history cannot be read: the request may have been done.
 */
export function findDone(states: readonly string[], id: string): DoneRequest | undefined {
  for (const state of states) {
    const found = readHistory(state).findLast((request) => request.id === id);
    if (found) return found;
  }
  return undefined;
}

/** Remembers a request durably, in place of an earlier record of the same id. */
export function rememberDone(state: string, request: DoneRequest): void {
  let earlier: DoneRequest[] = [];
  try {
    earlier = readHistory(state);
  } catch {
    // Damaged: nothing can be saved from it.
  }
  const done = [...earlier.filter(({ id }) => id !== request.id), request].slice(-MAX_DONE);
  writeJsonAtomic(
    path.join(state, HISTORY),
    { version: 1, done },
    { mode: 0o600, temporary: HISTORY_TEMPORARY },
  );
}

export function readHistory(state: string): DoneRequest[] {
  const file = path.join(state, HISTORY);
  try {
    return History.parse(JSON.parse(fs.readFileSync(file, 'utf8'))).done;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    if (code === 'EACCES') throw stateOfAnother(state, fs.lstatSync(state).uid, error);
    const why = code === undefined ? 'it is damaged' : messageOf(error);
    throw refused(
      `${shown(file)}, the list of requests that were done, cannot be read (${why}). Remove that file if this request was never done`,
      error,
    );
  }
}
