import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { ArchiveError } from '../../archive/index.ts';
import type { ListedArchive, Location } from '../../offsite/index.ts';
import type { CliContext } from './context.ts';
import {
  addIdentityFlag,
  addLocationFlags,
  type IdentityFlags,
  type LocationFlags,
  openAt,
  openerFor,
} from './location-flags.ts';
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
        .argument('<location>', 's3://BUCKET/PREFIX or dir:PATH')
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
  const opener = await openerFor(flags);
  const location = await openAt(url, flags, context);
  await openLocation(location);
  const { archive, series } = await chooseCopy(location, name, flags.series);
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
  process.stdout.write(`Fetched ${output}: ${formatBytes(list.sizeBytes)}, SHA-256 ${list.sha256}.\n`);
}

/** The copy that name and series mean. @throws {ArchiveError} CopyMissing, Usage when several fit. */
export async function chooseCopy(
  location: Location,
  name: string | undefined,
  series: string | undefined,
): Promise<ListedArchive> {
  const { listedArchives } = await import('../../offsite/index.ts');
  const copies = (await listedArchives(location, series)).filter(
    ({ archive }) => name === undefined || archive === name,
  );
  const [first] = copies;
  if (!first) {
    throw new ArchiveError(
      'CopyMissing',
      `${location.url} has no copy${name === undefined ? '' : ` of ${name}`}${series === undefined ? '' : ` in series ${series}`}. km-backup list ${location.url} shows what it has.`,
    );
  }
  const others = new Set(copies.map((copy) => copy.series));
  if (others.size > 1) {
    throw new ArchiveError(
      'Usage',
      `${location.url} has several series that fit: name one (--series): ${[...others].sort().join(', ')}.`,
    );
  }
  return first;
}
