import { Command } from 'commander';
import { type ArchiveInfo, isUnapproved, listArchives, type Suspicion } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import { addLocationFlags, checkLocation, LOCATION_HELP, type LocationFlags } from './location-flags.ts';
import { printJsonText, warn } from './output.ts';
import { table } from './table.ts';

interface Flags extends LocationFlags {
  readonly destination?: string;
  readonly series?: string;
  readonly recipe: boolean;
  readonly json: boolean;
}

export function command(context: CliContext): Command {
  const list = new Command('list')
    .description('list the archives of a destination, or the copies in a location')
    .argument('[location]', LOCATION_HELP)
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--json', 'one JSON array', false);
  return addLocationFlags(list)
    .option('--series <series>', 'only copies of this series')
    .option('--recipe', 'print how anybody restores a copy with standard tools', false)
    .action(async (url: string | undefined, flags: Flags) => {
      if (url !== undefined) {
        checkLocation(url);
        const { listLocation } = await import('./on-location.ts');
        return await listLocation(url, flags, context);
      }
      const directory = existingDirectory(requiredDestination(context, flags.destination));
      const archives = listArchives(directory);
      if (flags.json) {
        printJsonText(`${JSON.stringify(archives.map(toJson), null, 2)}\n`);
        return;
      }
      process.stdout.write(toTable(archives));
      for (const { name, class: kind, problem, suspicion } of archives) {
        if (isUnapproved(suspicion)) warn(describeSuspicion(name, suspicion!));
        if (kind === 'unreadable') warn(`${name} is unreadable: ${problem}`);
      }
    });
}

function toJson({
  name,
  path,
  sizeBytes,
  timestamp,
  class: kind,
  problem,
  suspicion,
  summary,
  paddingBytes,
}: ArchiveInfo) {
  return {
    name,
    path,
    sizeBytes,
    timestamp: timestamp.toISOString(),
    class: kind,
    problem: problem ?? null,
    suspicion: suspicion ?? null,
    series: summary?.series ?? null,
    paddingBytes,
    sha256: summary?.sha256 ?? null,
    entries: summary?.entries ?? null,
    files: summary?.files ?? null,
    sourceBytes: summary?.sourceBytes ?? null,
    reusedBytes: summary?.reusedBytes ?? null,
    warnings: summary?.warnings ?? null,
  };
}

function describeSuspicion(name: string, { reasons }: Suspicion): string {
  const why = reasons.map(({ message }) => message).join(' ');
  return `${name} is suspicious, so nothing is removed: ${why} If it is as it should be: km-backup approve ${name}`;
}

function toTable(archives: readonly ArchiveInfo[]): string {
  if (archives.length === 0) return 'No archives.\n';
  return table(
    ['NAME', 'TIME', 'STATE', 'SIZE', 'FILES', 'SOURCE', 'REUSED', 'SERIES'],
    archives.map(({ name, timestamp, class: kind, sizeBytes, suspicion, summary }) => [
      name,
      timestamp.toISOString().slice(0, 19).replace('T', ' '),
      isUnapproved(suspicion) ? `${kind}, suspicious` : kind,
      formatBytes(sizeBytes),
      summary ? String(summary.files) : '-',
      summary ? formatBytes(summary.sourceBytes) : '-',
      summary && sizeBytes > 0 ? `${Math.floor((100 * summary.reusedBytes) / sizeBytes)}%` : '-',
      summary?.series ?? '-',
    ]),
    {
      SERIES: { weight: 1 },
      REUSED: { weight: 2 },
      SOURCE: { weight: 3 },
      FILES: { weight: 4 },
      TIME: { weight: 5 },
    },
  );
}
