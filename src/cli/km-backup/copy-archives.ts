/** Copies several archives of a destination to one location, then applies retention there. */
import path from 'node:path';
import type { CopyResult } from '../../api/location-result.ts';
import { ArchiveError, type ArchiveInfo } from '../../archive/index.ts';
import {
  type CopyOptions,
  type CopyReport,
  copyArchive,
  destinationError,
  type Location,
  listedArchives,
  lockCopies,
  pruneCopies,
  writerOf,
} from '../../offsite/index.ts';
import { planRetention, type RetentionPolicy } from '../../retention/index.ts';

/** What a copy came to so far: kept outside, so that a failure halfway still tells it. */
export interface CopyTotals {
  confirmed: string[];
  uploadedBytes: number;
  reusedBytes: number;
  pruned: CopyResult['pruned'];
  present: CopyResult['present'];
  foreign: number;
  /** Sentences about archives that could not be copied, and copies that could not be removed. */
  warnings: string[];
}

export const noTotals = (): CopyTotals => ({
  confirmed: [],
  uploadedBytes: 0,
  reusedBytes: 0,
  pruned: { count: 0, failed: 0, names: [] },
  present: undefined,
  foreign: 0,
  warnings: [],
});

export interface CopyAllOptions {
  readonly destination: string;
  /** Paths of archives, newest first. The first one must succeed; what concerns another one alone is a warning. */
  readonly archives: readonly string[];
  /** Leave out what the location has a list of, except the first. */
  readonly onlyMissing: boolean;
  /** Rules for the copies; undefined: none is removed. */
  readonly policy: RetentionPolicy | undefined;
  readonly lockWaitMs: number;
  readonly copy: Omit<CopyOptions, 'archive' | 'lockWaitMs'>;
  readonly onCopied: (report: CopyReport) => void;
}

/** Complete archives that the rules keep, newest first. */
export function worthCopying(infos: readonly ArchiveInfo[], policy: RetentionPolicy | undefined, now: Date) {
  const complete = infos.filter((info) => info.class === 'complete');
  if (!policy) return complete;
  const asRetained = ({ name, timestamp, sizeBytes, class: kind }: ArchiveInfo) => ({
    name,
    timestampMs: timestamp.getTime(),
    class: kind,
    sizeBytes,
  });
  const kept = new Set(
    planRetention(complete.map(asRetained), policy, now.getTime()).flatMap(({ name, keep }) =>
      keep ? [name] : [],
    ),
  );
  return complete.filter(({ name }) => kept.has(name));
}

/** Reasons that concern one archive and not the location or the whole destination. */
const OF_ONE_ARCHIVE: ReadonlySet<string> = new Set([
  'ArchiveCorrupt',
  'ArchiveMissing',
  'ArchiveUnreadable',
  'ManifestInvalid',
]);

/** The error with the archive's name in it; undefined for one that concerns more than the archive. */
function namingIt(error: unknown, archive: string): ArchiveError | undefined {
  if (!(error instanceof ArchiveError) || !OF_ONE_ARCHIVE.has(error.reason)) return undefined;
  if (error.message.includes(path.basename(archive))) return error;
  return new ArchiveError(error.reason, `${archive}: ${error.message}`, { cause: error });
}

const isLocationFault = (error: unknown): error is ArchiveError =>
  error instanceof ArchiveError && error.reason.startsWith('Location');

/** @throws {ArchiveError} what the copy of the first archive throws, or what concerns the location. */
export async function copyArchives(options: CopyAllOptions, totals: CopyTotals): Promise<void> {
  const { archives, onlyMissing, lockWaitMs, policy } = options;
  const { location } = options.copy;
  const listed = new Set(
    onlyMissing ? (await listedArchives(location)).map(({ archive, series }) => `${series}\n${archive}`) : [],
  );
  let series: string | undefined;
  for (const [index, archive] of archives.entries()) {
    const name = path.basename(archive);
    if (index > 0 && listed.has(`${series}\n${name}`)) {
      totals.confirmed.push(name);
      continue;
    }
    try {
      const report = await copyArchive({ ...options.copy, archive, lockWaitMs });
      series ??= report.series;
      totals.confirmed.push(name);
      totals.uploadedBytes += report.uploadedBytes;
      totals.reusedBytes += report.reusedBytes;
      options.onCopied(report);
    } catch (error) {
      const ofOne = namingIt(error, archive);
      if (index === 0 || !ofOne) throw ofOne ?? error;
      // Retention removed it meanwhile.
      if (ofOne.reason !== 'ArchiveMissing') totals.warnings.push(ofOne.message);
    }
  }
  if (policy && series !== undefined && totals.warnings.length === 0) {
    await applyRetention(options, series, policy, totals);
  }
}

/** A failure here leaves the copies as they are: they are no less good for it. */
async function applyRetention(
  { destination, lockWaitMs, copy }: CopyAllOptions,
  series: string,
  policy: RetentionPolicy,
  totals: CopyTotals,
): Promise<void> {
  try {
    using _lock = await lockCopies(destination, lockWaitMs, copy.signal);
    const report = await pruneCopies({
      location: copy.location,
      series,
      policy,
      writer: writerOf(destination).id,
      localOf: (archive) => path.join(destination, archive),
      takeOver: false,
      graceMs: GRACE_MS,
      now: new Date(),
      dryRun: false,
    });
    const { pruned, failures, foreign, kept, notSwept } = report;
    totals.pruned = { count: pruned.length, failed: failures.length, names: [...pruned] };
    totals.foreign = foreign;
    totals.present = kept;
    totals.warnings.push(...failures.map((failure) => `not deleted: ${failure}`));
    if (notSwept !== undefined) totals.warnings.push(`no pack was deleted: ${notSwept}`);
  } catch (error) {
    const known = destinationError(error, destination);
    if (!isLocationFault(known)) throw known;
    totals.warnings.push(`the rules for copies were not applied: ${known.message}`);
  }
}

const GRACE_MS = 24 * 3_600_000;

/** The sentence about copies of others, if there are any. */
export function foreignSentence({ foreign }: CopyTotals, { url }: Location, series: string): string {
  if (foreign === 0) return '';
  return ` ${foreign} ${foreign === 1 ? 'copy' : 'copies'} of series ${series || '(none)'} in ${url} ${foreign === 1 ? 'is' : 'are'} of another writer: another cluster, or this one before its claim of archives was replaced. They are left alone.`;
}
