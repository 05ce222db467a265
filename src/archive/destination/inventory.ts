import { closeSync, fstatSync, lstatSync, readSync, type Stats, statSync } from 'node:fs';
import path from 'node:path';
import { codeOf } from '../../posix/system-error.ts';
import type { ArchiveClass } from '../../retention/index.ts';
import { ArchiveError, readError } from '../errors.ts';
import type { Summary } from '../format/manifest.ts';
import { readSummary } from '../format/manifest-reader.ts';
import { compressionOfName, isManagedName, manifestNameOf, timeOfName } from '../format/names.ts';
import { openFile } from '../format/open-file.ts';
import { endsInZeros } from '../format/padding.ts';
import type { Suspicion } from '../format/suspicion.ts';
import { type ManagedFile, managedFiles } from './directory.ts';
import { suspicionOf } from './suspicions.ts';

export interface ArchiveInfo extends ManagedFile {
  /** From the summary in its manifest and its first bytes; no archive is read whole for it. */
  readonly class: ArchiveClass;
  /** From its name, or its modification time if the name has none. */
  readonly timestamp: Date;
  readonly summary: Summary | undefined;
  /** Whether there is a manifest, sound or damaged. Also false if the system refuses to look. */
  readonly hasManifest: boolean;
  /** The guard's record, if it found the archive suspicious. */
  readonly suspicion: Suspicion | undefined;
  /** Why it is corrupt or unreadable. */
  readonly problem: string | undefined;
  /** Zero bytes after its end, which a copy through tape or dd may leave. They do no harm; gzip accepts them too. */
  readonly paddingBytes: number;
}

/** The managed archives of a directory, newest first. */
export function listArchives(directory: string): ArchiveInfo[] {
  return managedFiles(directory)
    .map(inspect)
    .filter((info) => info.class !== 'unreadable' || !vanished(info.path))
    .sort((a, b) => b.timestamp.getTime() - a.timestamp.getTime() || (a.name < b.name ? 1 : -1));
}

/**
 * One archive by its path. It may have any name.
 * @throws {ArchiveError} ArchiveMissing when the file does not exist, ArchiveUnreadable when the system refuses to look.
 */
export function archiveInfo(file: string): ArchiveInfo {
  let stats: Stats;
  try {
    stats = statSync(file);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw readError(error, file);
    throw new ArchiveError('ArchiveMissing', `${file} does not exist.`, { cause: error });
  }
  if (stats.isDirectory()) {
    throw new ArchiveError('ArchiveMissing', `${file} is a directory, not an archive.`);
  }
  if (!stats.isFile()) throw new ArchiveError('ArchiveMissing', `${file} is not a regular file.`);
  return inspect({ name: path.basename(file), path: file, sizeBytes: stats.size, modifiedAt: stats.mtime });
}

/**
 * Refuses an archive whose inventory entry has a problem.
 * @throws {ArchiveError} ArchiveUnreadable or ArchiveCorrupt, each with the advice for that case.
 */
export function refuseProblem(info: ArchiveInfo, advice: { readonly corrupt: string }): void {
  if (info.problem === undefined) return;
  if (info.class === 'unreadable') throw new ArchiveError('ArchiveUnreadable', info.problem);
  throw new ArchiveError('ArchiveCorrupt', `${info.path}: ${info.problem}${advice.corrupt}`);
}

function inspect(file: ManagedFile): ArchiveInfo {
  const base = {
    ...file,
    timestamp: timestampOf(file),
    summary: undefined,
    suspicion: suspicionOf(file.path),
    hasManifest: false,
    paddingBytes: 0,
  };
  try {
    const found = compareWithManifest(file);
    return { ...base, ...found, hasManifest: found.summary !== undefined, class: classOf(found) };
  } catch (error) {
    const { reason, message } = readError(error, file.path);
    const isCorrupt = reason === 'ManifestInvalid';
    return {
      ...base,
      problem: message,
      hasManifest: isCorrupt,
      class: isCorrupt ? 'corrupt' : 'unreadable',
    };
  }
}

/** Whether another process removed it after it was listed. */
function vanished(file: string): boolean {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

function timestampOf({ name, modifiedAt }: ManagedFile): Date {
  const named = timeOfName(name);
  if (named) return named;
  // A modification time beyond what a Date holds.
  return Number.isNaN(modifiedAt.getTime()) ? new Date(0) : modifiedAt;
}

type Found = Pick<ArchiveInfo, 'summary' | 'problem' | 'paddingBytes'>;

function compareWithManifest(file: ManagedFile): Found {
  const summary = readSummary(manifestNameOf(file.path));
  const fd = openFile(file.path);
  try {
    const { size } = fstatSync(fd);
    if (!summary) {
      const problem = beginsLikeArchive(fd, file.name)
        ? undefined
        : size === 0
          ? 'it is empty'
          : `it does not begin like a ${isManagedName(file.name) ? compressionOfName(file.name) : 'gzip or zstd'} file`;
      return { summary, problem, paddingBytes: 0 };
    }
    const surplus = size - summary.sizeBytes;
    if (surplus === 0) return { summary, problem: undefined, paddingBytes: 0 };
    if (surplus > 0 && endsInZeros(fd, summary.sizeBytes)) {
      return { summary, problem: undefined, paddingBytes: surplus };
    }
    return {
      summary,
      problem: `it has ${size} bytes, but its manifest says ${summary.sizeBytes}`,
      paddingBytes: 0,
    };
  } finally {
    closeSync(fd);
  }
}

function classOf({ summary, problem }: Found): ArchiveClass {
  if (problem !== undefined) return 'corrupt';
  if (!summary) return 'unverified';
  return summary.warnings.count > 0 ? 'incomplete' : 'complete';
}

const magic = { gzip: Buffer.from([0x1f, 0x8b, 8]), zstd: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]) };

function beginsLikeArchive(fd: number, name: string): boolean {
  const start = Buffer.alloc(4);
  const length = readSync(fd, start, 0, start.length, 0);
  const candidates = isManagedName(name) ? [magic[compressionOfName(name)]] : Object.values(magic);
  return candidates.some((expected) => start.subarray(0, Math.min(length, expected.length)).equals(expected));
}
