import { Command } from 'commander';
import { type ArchiveInfo, listArchives } from '../../archive/index.ts';
import { destinationOf } from '../../standalone/variables.ts';
import type { CliContext } from './context.ts';
import { existingDirectory, required } from './context.ts';
import { formatBytes, table } from './table.ts';

export function command({ env }: CliContext): Command {
  return new Command('list')
    .description('list the archives of a destination')
    .option(
      '--destination <dir>',
      'directory of the archives (default: $KM_BACKUP_DEST, else $KM_BACKUP_DEST_PATH)',
    )
    .option('--json', 'one JSON array', false)
    .action((flags: { destination?: string; json: boolean }) => {
      const directory = existingDirectory(
        required(flags.destination ?? destinationOf(env), '--destination', 'KM_BACKUP_DEST'),
      );
      const archives = listArchives(directory);
      process.stdout.write(
        flags.json ? `${JSON.stringify(archives.map(toJson), null, 2)}\n` : toTable(archives),
      );
    });
}

function toJson({ name, path, sizeBytes, timestamp, class: kind, problem, summary }: ArchiveInfo) {
  return {
    name,
    path,
    sizeBytes,
    timestamp: timestamp.toISOString(),
    class: kind,
    problem: problem ?? null,
    series: summary?.series ?? null,
    sha256: summary?.sha256 ?? null,
    entries: summary?.entries ?? null,
    files: summary?.files ?? null,
    sourceBytes: summary?.sourceBytes ?? null,
    reusedBytes: summary?.reusedBytes ?? null,
    warnings: summary?.warnings ?? null,
  };
}

function toTable(archives: readonly ArchiveInfo[]): string {
  if (archives.length === 0) return 'No archives.\n';
  return table(
    ['NAME', 'TIME', 'STATE', 'SIZE', 'FILES', 'SOURCE', 'REUSED', 'SERIES'],
    archives.map(({ name, timestamp, class: kind, sizeBytes, summary }) => [
      name,
      timestamp.toISOString().slice(0, 19).replace('T', ' '),
      kind,
      formatBytes(sizeBytes),
      summary ? String(summary.files) : '-',
      summary ? formatBytes(summary.sourceBytes) : '-',
      summary && sizeBytes > 0 ? `${Math.floor((100 * summary.reusedBytes) / sizeBytes)}%` : '-',
      summary?.series ?? '-',
    ]),
  );
}
