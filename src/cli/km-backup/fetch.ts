import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { ArchiveError } from '../../archive/index.ts';
import type { CliContext } from './context.ts';
import {
  addIdentityFlag,
  addLocationFlags,
  type IdentityFlags,
  LOCATION_HELP,
  type LocationFlags,
  openAt,
  openerFor,
} from './location-flags.ts';
import { print } from './output.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import { formatBytes } from './table.ts';

interface Flags extends LocationFlags, IdentityFlags {
  readonly series?: string;
  readonly output?: string;
  readonly progress: ProgressMode;
}

export function command(context: CliContext): Command {
  const fetch = addIdentityFlag(
    addLocationFlags(
      new Command('fetch')
        .description('bring an archive back from a location, bit for bit, with its manifest')
        .argument('<location>', LOCATION_HELP)
        .argument('[archive]', 'name of the archive (default: the newest)')
        .option('--series <series>', 'series of the archive, where the location has several')
        .option('-o, --output <file>', 'file to make (default: the name of the archive)'),
    ),
  );
  return addProgressOption(fetch, 'summary').action(
    (url: string, archive: string | undefined, flags: Flags) => run(url, archive, flags, context),
  );
}

async function run(url: string, name: string | undefined, flags: Flags, context: CliContext): Promise<void> {
  const { fetchArchive, openLocation } = await import('../../offsite/index.ts');
  const { chooseCopy } = await import('./on-location.ts');
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const { archive, series } = await chooseCopy(location, { ...flags, archive: name });
  const output = flags.output ?? archive;
  for (const file of [output, `${output}.manifest`]) {
    if (existsSync(file))
      throw new ArchiveError('OutputExists', `${file} exists already; choose another --output.`);
  }
  using progress = startProgress<{ bytes: number; ofBytes: number }>(
    {
      mode: flags.progress,
      unwatched: 'summary',
      measure: ({ bytes, ofBytes }) => ({ count: 0, ofCount: 1, noun: 'archives', bytes, ofBytes }),
    },
    process.stderr,
  );
  const list = await fetchArchive(
    {
      location,
      archive,
      series,
      opener,
      signal: context.signal,
      progress: (bytes, ofBytes) => progress.update({ bytes, ofBytes }),
    },
    output,
  );
  progress.end({ fields: { archive, bytes: list.sizeBytes } });
  print(`Fetched ${output}: ${formatBytes(list.sizeBytes)}, SHA-256 ${list.sha256}.`);
}
