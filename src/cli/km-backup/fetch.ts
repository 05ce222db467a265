import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { ArchiveError } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { CliContext } from './context.ts';
import {
  addAsOfFlag,
  addIdentityFlag,
  addLocationFlags,
  type CopyFlags,
  LOCATION_HELP,
} from './location-flags.ts';
import { print } from './output.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';

interface Flags extends CopyFlags {
  readonly output?: string;
  readonly progress: ProgressMode;
}

export function command(context: CliContext): Command {
  const fetch = addAsOfFlag(
    addIdentityFlag(
      addLocationFlags(
        new Command('fetch')
          .description('bring an archive back from a location, bit for bit, with its manifest')
          .argument('<location>', LOCATION_HELP)
          .argument('[archive]', 'name of the archive (default: the newest complete one)')
          .option('--series <series>', 'series of the archive, where the location has several')
          .option('-o, --output <file>', 'file to make (default: the name of the archive)'),
      ),
    ),
  );
  return addProgressOption(fetch, 'summary').action(
    (url: string, archive: string | undefined, flags: Flags) => run(url, archive, flags, context),
  );
}

async function run(url: string, name: string | undefined, flags: Flags, context: CliContext): Promise<void> {
  const { fetchArchive } = await import('../../offsite/index.ts');
  const { chosenAt } = await import('./choose-copy.ts');
  if (name !== undefined && flags.asOf) throw new ArchiveError('Usage', 'Name an archive, or pass --as-of.');
  const wanted = name === undefined ? flags : { ...flags, archive: name };
  const { options } = await chosenAt(url, wanted, context);
  const { archive } = options;
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
      ...options,
      progress: (bytes, ofBytes) => progress.update({ bytes, ofBytes }),
    },
    output,
  );
  progress.end({ fields: { archive, bytes: list.sizeBytes } });
  print(`Fetched ${output}: ${formatBytes(list.sizeBytes)}, SHA-256 ${list.sha256}.`);
}
