import { closeSync, openSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../posix/system-error.ts';
import type { ArchiveClass } from '../../retention/index.ts';
import { ArchiveError } from '../errors.ts';
import type { Summary } from '../format/manifest.ts';
import { readSummary } from '../format/manifest-reader.ts';
import { compressionOfName, manifestNameOf, timeOfName } from '../format/names.ts';
import { type ManagedFile, managedFiles } from './directory.ts';

export interface ArchiveInfo extends ManagedFile {
  /** By its manifest's summary and its first bytes; nothing is read whole. */
  readonly class: ArchiveClass;
  /** By its name, else by its modification time. */
  readonly timestamp: Date;
  readonly summary: Summary | undefined;
  /** Why it is corrupt. */
  readonly problem: string | undefined;
}

/** The managed archives of a directory, newest first. */
export function listArchives(directory: string): ArchiveInfo[] {
  return managedFiles(directory)
    .map(inspect)
    .sort((a, b) => b.timestamp.getTime() - a.timestamp.getTime() || (a.name < b.name ? 1 : -1));
}

/** One archive by its path, whatever its name. Throws `ArchiveMissing`. */
export function inspect(file: ManagedFile): ArchiveInfo {
  const timestamp = timeOfName(file.name) ?? file.modifiedAt;
  let summary: Summary | undefined;
  let problem: string | undefined;
  try {
    summary = readSummary(manifestNameOf(file.path));
    if (summary && summary.sizeBytes !== file.sizeBytes) {
      problem = `it has ${file.sizeBytes} bytes, its manifest says ${summary.sizeBytes}`;
    } else if (!summary && !beginsLikeArchive(file)) {
      problem = `it does not begin like a ${path.extname(file.name)} file`;
    }
  } catch (error) {
    problem = error instanceof ArchiveError ? error.message : String(error);
  }
  return { ...file, timestamp, summary, problem, class: classOf(summary, problem) };
}

function classOf(summary: Summary | undefined, problem: string | undefined): ArchiveClass {
  if (problem !== undefined) return 'corrupt';
  if (!summary) return 'unverified';
  return summary.warnings.count > 0 ? 'incomplete' : 'complete';
}

const magic = { gzip: Buffer.from([0x1f, 0x8b, 8]), zstd: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) };

function beginsLikeArchive(file: ManagedFile): boolean {
  const expected = magic[compressionOfName(file.name)];
  const start = Buffer.alloc(expected.length);
  const fd = openSync(file.path, 'r');
  try {
    return readSync(fd, start, 0, start.length, 0) === start.length && start.equals(expected);
  } finally {
    closeSync(fd);
  }
}

export function archiveInfo(file: string): ArchiveInfo {
  let stats: ReturnType<typeof statSync>;
  try {
    stats = statSync(file);
  } catch (error) {
    throw new ArchiveError('ArchiveMissing', `${file} cannot be read (${codeOf(error) ?? error}).`, {
      cause: error,
    });
  }
  if (!stats?.isFile()) throw new ArchiveError('ArchiveMissing', `${file} is no file.`);
  return inspect({ name: path.basename(file), path: file, sizeBytes: stats.size, modifiedAt: stats.mtime });
}
