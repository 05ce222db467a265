import path from 'node:path';
import { Command } from 'commander';
import { ArchiveError, type ArchiveInfo, ExitCode, listArchives } from '../../archive/index.ts';
import type { CopyProgress, CopyReport, Location } from '../../offsite/index.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import {
  addLocationFlags,
  type LocationFlags,
  openAt,
  type RecipientFlags,
  sealerFor,
} from './location-flags.ts';
import { collect } from './option-values.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import { formatBytes } from './table.ts';

interface Flags extends LocationFlags, RecipientFlags {
  readonly destination?: string;
  readonly newest: boolean;
  readonly all: boolean;
  readonly json: boolean;
  readonly progress: ProgressMode;
}

export function command(context: CliContext): Command {
  const copy = addLocationFlags(
    new Command('copy')
      .description('copy archives to a location off the cluster: only what it does not have yet')
      .usage('[options] [ARCHIVE…] LOCATION')
      .argument(
        '<archive-and-location...>',
        'names of archives of the destination, then s3://BUCKET/PREFIX or dir:PATH',
      )
      .option('--destination <dir>', DESTINATION_HELP)
      .option('--newest', 'the newest complete archive (the default)', false)
      .option('--all', 'every complete archive, oldest first', false)
      .option('--recipient <key>', 'age public key that can read the copy (repeatable)', collect, [])
      .option('--no-encryption', 'store the copy unencrypted')
      .option('--json', 'one JSON object a line', false),
  );
  return addProgressOption(copy, 'summary').action((words: string[], flags: Flags) =>
    run(words, flags, context),
  );
}

async function run(words: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const { copyArchive, initLocation } = await import('../../offsite/index.ts');
  const directory = existingDirectory(requiredDestination(context, flags.destination));
  const archives = chosen(words.slice(0, -1), directory, flags);
  const sealer = await sealerFor(flags);
  const location = await openAt(words.at(-1)!, flags, context);
  const { id } = await initLocation(location, () => new Date());
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
      archive,
      sealer,
      signal: context.signal,
      progress: progress.update,
    });
    progress.clear();
    process.stdout.write(flags.json ? `${JSON.stringify(report)}\n` : sentence(report, location));
    totals.archives++;
    totals.uploadedBytes += report.uploadedBytes;
    totals.reusedBytes += report.reusedBytes;
  }
  progress.end({ fields: totals });
  context.exitCode = ExitCode.ok;
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
    ? `${archive} is in ${url} already.\n`
    : `Copied ${archive} to ${url}: ${formatBytes(uploadedBytes)} uploaded, ${formatBytes(reusedBytes)} were there.\n`;
}
