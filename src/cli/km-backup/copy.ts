import path from 'node:path';
import { Command } from 'commander';
import { ArchiveError, type ArchiveInfo, ExitCode, listArchives } from '../../archive/index.ts';
import type { CopyProgress, CopyReport, Location } from '../../offsite/index.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
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
import { collect } from './option-values.ts';
import { print, printJson } from './output.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import { formatBytes } from './table.ts';

interface Flags extends LocationFlags, LockFlags, RecipientFlags {
  readonly destination?: string;
  readonly newest: boolean;
  readonly all: boolean;
  readonly newLocation: boolean;
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
      .option('--newest', 'the newest complete archive (the default)', false)
      .option('--all', 'every complete archive, oldest first', false)
      .option('--recipient <key>', 'age public key that can read the copy (repeatable)', collect, [])
      .option('--no-encryption', 'store the copy unencrypted')
      .option('--new-location', 'accept that another location is at this address now', false)
      .option('--json', 'one JSON object a line', false),
  );
  return addProgressOption(addLockFlags(copy), 'summary').action((words: string[], flags: Flags) =>
    run(words, flags, context),
  );
}

async function run(words: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const { copyArchive, openForCopies } = await import('../../offsite/index.ts');
  const directory = existingDirectory(requiredDestination(context, flags.destination));
  const url = words.at(-1);
  if (!isLocation(url))
    throw new ArchiveError('Usage', `The last argument must be a location: ${LOCATION_HELP}.`);
  const archives = chosen(words.slice(0, -1), directory, flags);
  const sealer = await sealerFor(flags);
  const location = await openAt(url, flags, context);
  const id = await openForCopies(location, directory, { isNew: flags.newLocation, now: () => new Date() });
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
  const totals = { archives: 0, uploadedBytes: 0, reusedBytes: 0 };
  for (const archive of archives) {
    const report = await copyArchive({
      location,
      locationId: id,
      retainUntil: retainUntil(flags, new Date()),
      archive,
      sealer,
      signal: context.signal,
      progress: progress.update,
    }).catch((error: unknown) => {
      throw stopped(error) ?? error;
    });
    progress.clear();
    if (flags.json) printJson(report);
    else print(sentence(report, location));
    totals.archives++;
    totals.uploadedBytes += report.uploadedBytes;
    totals.reusedBytes += report.reusedBytes;
  }
  progress.end({ fields: totals });
  context.exitCode = ExitCode.ok;
}

/** The words of a signal are those of a backup. */
function stopped(error: unknown): ArchiveError | undefined {
  if (!(error instanceof ArchiveError)) return undefined;
  if (error.reason !== 'Terminated' && error.reason !== 'Interrupted') return undefined;
  return new ArchiveError(error.reason, 'Stopped. What the location has confirmed is not uploaded again.');
}

function chosen(names: readonly string[], directory: string, { newest, all }: Flags): string[] {
  if (names.length > 0) {
    if (newest || all) throw new ArchiveError('Usage', 'Name archives, or pass --newest or --all.');
    return names.map((name) => (name.includes('/') ? name : path.join(directory, name)));
  }
  const complete = listArchives(directory).filter(({ class: kind }: ArchiveInfo) => kind === 'complete');
  if (complete.length === 0) {
    throw new ArchiveError('ArchiveMissing', `${directory} has no complete archive to copy.`);
  }
  const paths = complete.map((info) => info.path);
  return all ? paths.reverse() : paths.slice(0, 1);
}

function sentence(report: CopyReport, { url }: Location): string {
  const { outcome, archive, uploadedBytes, reusedBytes } = report;
  return outcome === 'already-there'
    ? `${archive} is in ${url} already.`
    : `Copied ${archive} to ${url}: ${formatBytes(uploadedBytes)} uploaded, ${formatBytes(reusedBytes)} were there.`;
}
