import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import type { CopyResult } from '../../api/location-result.ts';
import { ArchiveError, ExitCode, listArchives } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { CopyProgress, CopyReport, Location } from '../../offsite/index.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import type { CopyTotals } from './copy-archives.ts';
import {
  addLocationFlags,
  addLockFlags,
  isLocation,
  LOCATION_HELP,
  type LocationFlags,
  type LockFlags,
  openAt,
  type RecipientFlags,
  retainUntil,
  sealerFor,
} from './location-flags.ts';
import { collect, type RetentionFlags, retentionOf, wholeNumber } from './option-values.ts';
import { print, printJson, warn } from './output.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import { checkResultFile, writeCopyResult } from './result-file.ts';
import { addRetentionOptions } from './retention-options.ts';

interface Flags extends LocationFlags, LockFlags, RecipientFlags, RetentionFlags {
  readonly destination?: string;
  readonly series?: string;
  readonly newest: boolean;
  readonly all: boolean;
  readonly missing: boolean;
  readonly newLocation: boolean;
  readonly expectId?: string;
  readonly lockWait: number;
  readonly resultFile?: string;
  readonly json: boolean;
  readonly progress: ProgressMode;
}

export function command(context: CliContext): Command {
  const copy = addLocationFlags(
    new Command('copy')
      .description('copy archives to a location off the cluster: only what it does not have yet')
      .usage('[options] [ARCHIVE…] LOCATION')
      .argument('<archive-and-location...>', `names of archives of the destination, then ${LOCATION_HELP}`)
      .option('--destination <dir>', DESTINATION_HELP)
      .option('--series <name>', 'only archives of this series')
      .option('--newest', 'the newest complete archive (the default)', false)
      .option('--all', 'every complete archive, newest first', false)
      .option('--missing', 'the newest complete archive, and the others that the location lacks', false)
      .option('--recipient <key>', 'age public key that can read the copy (repeatable)', collect, [])
      .option('--no-encryption', 'store the copy unencrypted')
      .option('--new-location', 'accept that another location is at this address now', false)
      .option('--expect-id <id>', 'refuse a location with another id')
      .option('--lock-wait <seconds>', 'wait this long for another copy to end', wholeNumber, 0)
      .option('--result-file <path>', 'write the result as JSON, at most 4,096 bytes')
      .option('--json', 'one JSON object a line', false),
  );
  addLockFlags(copy).optionsGroup(
    'Rules for the copies, applied after all succeeded (default: none is removed):',
  );
  addRetentionOptions(copy).optionsGroup('Options:');
  return addProgressOption(copy, 'summary').action((words: string[], flags: Flags) =>
    run(words, flags, context),
  );
}

async function run(words: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const { resultFile } = flags;
  if (resultFile !== undefined) checkResultFile(resultFile);
  const { noTotals } = await import('./copy-archives.ts');
  const totals = noTotals();
  const startedAt = new Date().toISOString();
  const end = (outcome: Pick<CopyResult, 'outcome' | 'reason' | 'message'>) => {
    if (resultFile === undefined) return;
    const { confirmed, warnings, present, ...counts } = totals;
    writeCopyResult(resultFile, {
      version: 1,
      command: 'copy',
      ...outcome,
      startedAt,
      finishedAt: new Date().toISOString(),
      ...(confirmed[0] !== undefined && { archive: confirmed[0] }),
      confirmed,
      ...counts,
      ...(present && { present }),
      warnings: { count: warnings.length, samples: warnings },
    });
  };
  let message: string;
  try {
    message = await copyAll(words, flags, context, totals);
  } catch (error) {
    const known = stopped(error) ?? error;
    const reason = known instanceof ArchiveError ? known.reason : 'Internal';
    end({ outcome: 'Failed', reason, message: (known as Error).message });
    throw known;
  }
  for (const warning of totals.warnings) warn(warning);
  if (totals.warnings.length > 0) context.exitCode = ExitCode.failure;
  end({ outcome: 'Succeeded', reason: 'CopyConfirmed', message });
}

/** @returns what was done, in a sentence */
async function copyAll(
  words: readonly string[],
  flags: Flags,
  context: CliContext,
  totals: CopyTotals,
): Promise<string> {
  // V8 would let the heap double before it collects garbage.
  setFlagsFromString('--heap-growing-percent=20');
  const { openForCopies } = await import('../../offsite/index.ts');
  const { copyArchives, foreignSentence } = await import('./copy-archives.ts');
  const destination = existingDirectory(requiredDestination(context, flags.destination));
  const url = words.at(-1);
  if (!isLocation(url))
    throw new ArchiveError('Usage', `The last argument must be a location: ${LOCATION_HELP}.`);
  if (flags.newLocation && flags.expectId !== undefined)
    throw new ArchiveError('Usage', '--new-location and --expect-id exclude each other.');
  const policy = retentionOf(flags);
  const archives = await chosen(words.slice(0, -1), destination, flags, policy);
  const sealer = await sealerFor(flags);
  const location = await openAt(url, flags, context);
  const locationId = await openForCopies(location, destination, {
    isNew: flags.newLocation,
    expectedId: flags.expectId,
    now: () => new Date(),
  });
  using progress = startProgress<CopyProgress>(
    {
      mode: flags.progress,
      unwatched: 'summary',
      measure: ({ members, ofMembers, bytes, ofBytes }) => ({
        count: members,
        ofCount: ofMembers,
        noun: 'members',
        bytes,
        ofBytes,
      }),
    },
    process.stderr,
  );
  let copied = 0;
  let first: CopyReport | undefined;
  await copyArchives(
    {
      destination,
      archives,
      onlyMissing: flags.missing,
      policy,
      lockWaitMs: flags.lockWait * 1000,
      copy: {
        location,
        locationId,
        retainUntil: retainUntil(flags, new Date()),
        sealer,
        signal: context.signal,
        progress: progress.update,
      },
      onCopied: (report) => {
        progress.clear();
        if (flags.json) printJson(report);
        else print(sentence(report, location));
        first ??= report;
        copied++;
      },
    },
    totals,
  );
  const { uploadedBytes, reusedBytes, pruned } = totals;
  progress.end({ fields: { archives: copied, uploadedBytes, reusedBytes } });
  const removed = pruned.count > 0 ? ` Removed ${pruned.count} that no rule keeps.` : '';
  const foreign = foreignSentence(totals, location, first?.series ?? '');
  if (removed !== '' && !flags.json) print(removed.trim());
  if (foreign !== '') warn(foreign.trim());
  const more = copied > 1 ? ` Copied ${copied - 1} earlier archives, too.` : '';
  return first ? `${sentence(first, location)}${more}${removed}${foreign}` : '';
}

/** The words of a signal are those of a backup. */
function stopped(error: unknown): ArchiveError | undefined {
  if (!(error instanceof ArchiveError)) return undefined;
  if (error.reason !== 'Terminated' && error.reason !== 'Interrupted') return undefined;
  return new ArchiveError(error.reason, 'Stopped. What the location has confirmed is not uploaded again.');
}

async function chosen(
  names: readonly string[],
  directory: string,
  { newest, all, missing, series }: Flags,
  policy: RetentionPolicy | undefined,
): Promise<string[]> {
  const several = all || missing;
  if (names.length > 0) {
    if (newest || several)
      throw new ArchiveError('Usage', 'Name archives, or pass --newest, --all or --missing.');
    return names.map((name) => (name.includes('/') ? name : path.join(directory, name)));
  }
  if (Number(newest) + Number(all) + Number(missing) > 1)
    throw new ArchiveError('Usage', '--newest, --all and --missing exclude each other.');
  const { worthCopying } = await import('./copy-archives.ts');
  const infos = listArchives(directory).filter(
    ({ summary }) => series === undefined || summary?.series === series,
  );
  const complete = worthCopying(infos, several ? policy : undefined, new Date());
  if (complete.length === 0) {
    const of = series === undefined ? '' : ` of series ${series}`;
    throw new ArchiveError('ArchiveMissing', `${directory} has no complete archive${of} to copy.`);
  }
  const paths = complete.map((info) => info.path);
  return several ? paths : paths.slice(0, 1);
}

function sentence(report: CopyReport, { url }: Location): string {
  const { outcome, archive, uploadedBytes, reusedBytes } = report;
  return outcome === 'already-there'
    ? `${archive} is in ${url} already.`
    : `Copied ${archive} to ${url}: ${formatBytes(uploadedBytes)} uploaded, ${formatBytes(reusedBytes)} were there.`;
}
