/** Suspicious archives of a destination: their records, and their approval. */
import { closeSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { writeFileAtomic } from '../../posix/atomic-file.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError, writeError } from '../errors.ts';
import { suspicionNameOf, temporaryName } from '../format/names.ts';
import { openFileIfPresent } from '../format/open-file.ts';
import { encodeSuspicion, parseSuspicion, type Suspicion, unreadableSuspicion } from '../format/suspicion.ts';

/** The record next to an archive; undefined if there is none. */
export function suspicionOf(archive: string): Suspicion | undefined {
  const name = path.basename(archive);
  try {
    const fd = openFileIfPresent(suspicionNameOf(archive));
    if (fd === undefined) return undefined;
    try {
      return parseSuspicion(readFileSync(fd, 'utf8')) ?? unreadableSuspicion(name, 'it is damaged');
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    return unreadableSuspicion(name, codeOf(error) ?? 'the system refused');
  }
}

/**
 * Approves an archive, so that retention goes on. Call it while holding the lock of the destination.
 * @returns Whether it was suspicious and not approved.
 * @throws {ArchiveError} DestinationUnusable, NoSpace or WriteFailed when the record cannot be written.
 */
export function approveArchive(archive: string, now: Date): boolean {
  const found = suspicionOf(archive);
  if (!found || found.approvedAt !== undefined) return false;
  const file = suspicionNameOf(archive);
  try {
    const approved = encodeSuspicion({ ...found, approvedAt: now.toISOString() });
    writeFileAtomic(file, approved, { mode: 0o640, temporary: temporaryName(`approval-${process.pid}`) });
  } catch (error) {
    throw error instanceof ArchiveError ? error : writeError(error, file);
  }
  return true;
}
