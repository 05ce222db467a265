import { Command } from 'commander';
import { archiveTimeOf } from '../../api/archive-time.ts';
import type { KmBackup } from '../../api/backup.ts';
import { scheduleOf } from '../../fleet/find.ts';
import { formatBytes, formatSeconds } from '../../log/units.ts';
import type { Column } from '../km-backup/fitted-table.ts';
import { wrapped } from '../km-backup/fitted-table.ts';
import { ALL_NAMESPACES, addClusterFlags, connect, type PluginContext } from './context.ts';
import { columnsFor, type ListFlags, listed, placeText } from './list-output.ts';
import { addOutputFlags, ago, paint, roomOf, write, writeData, writeNames, writeTable } from './output.ts';

export function command(context: PluginContext): Command {
  const list = new Command('list')
    .description('list backups and the archives that they made, newest first')
    .argument('[schedule]', 'only those of this schedule')
    .addOption(ALL_NAMESPACES);
  return addOutputFlags(addClusterFlags(list), ['wide', 'json', 'yaml', 'name']).action(
    async (schedule: string | undefined, flags: ListFlags) => {
      const { cluster, namespace } = await connect(flags, context);
      const where = listed(flags, namespace);
      const fieldSelector = schedule === undefined ? undefined : `spec.scheduleName=${schedule}`;
      const { items } = await cluster.resources.backups.list(where, { fieldSelector, pageSize: 500 });
      if (items.length === 0 && schedule !== undefined && where !== undefined)
        await scheduleOf(cluster, { namespace: where, name: schedule });
      const backups = items.sort((a, b) => timeOf(b).localeCompare(timeOf(a)));
      await print(backups, cluster.clock.now(), where, flags, context);
    },
  );
}

const timeOf = (backup: KmBackup): string => archiveTimeOf(backup) ?? backup.metadata.creationTimestamp;

async function print(
  backups: readonly KmBackup[],
  nowMs: number,
  namespace: string | undefined,
  flags: ListFlags,
  context: PluginContext,
): Promise<void> {
  if (flags.output === 'json' || flags.output === 'yaml')
    return writeData(flags.output, { apiVersion: 'v1', kind: 'List', items: backups });
  if (flags.output === 'name')
    return writeNames(
      'kmbackup.km.duskmantle.io',
      backups.map(({ metadata }) => metadata.name),
    );
  if (backups.length === 0) {
    return write(wrapped(`No backups ${placeText(namespace)}.`, roomOf(context), ''));
  }
  writeTable(columnsOf(backups, nowMs, flags), flags, context);
}

const COLOUR: Readonly<Record<string, 'red' | 'yellow' | 'green' | 'dim'>> = {
  Succeeded: 'green',
  Failed: 'red',
  Incomplete: 'yellow',
  Skipped: 'dim',
  Found: 'dim',
};

function columnsOf(backups: readonly KmBackup[], nowMs: number, flags: ListFlags): Column[] {
  const column = columnsFor(backups);
  return [
    ...(flags.allNamespaces
      ? [column('NAMESPACE', ({ metadata }) => metadata.namespace, { least: 12 })]
      : []),
    column('NAME', ({ metadata }) => metadata.name, { least: 28 }),
    column('PHASE', ({ status }) => status?.phase ?? 'New', {
      paint: (padded, cell) => paint(COLOUR[cell] ?? 'dim', padded),
    }),
    column('AGE', (backup) => ago(timeOf(backup), nowMs)),
    column('SIZE', ({ status }) => bytes(status?.archive?.sizeBytes), { weight: 5, right: true }),
    column('FILES', ({ status }) => String(status?.archive?.files ?? '-'), { weight: 4, right: true }),
    column('TOOK', ({ status }) => seconds(status?.durationSeconds), { weight: 3, right: true }),
    column('ARCHIVE', ({ status }) => status?.archive?.name ?? '-', { weight: 1 }),
    column('SCHEDULE', ({ spec }) => spec.scheduleName, { weight: 2 }),
    ...(flags.output === 'wide'
      ? [
          column('CLAIM', ({ status }) => status?.archive?.claimName ?? '-'),
          column('WARNINGS', ({ status }) => String(status?.warnings?.count ?? 0), { right: true }),
          column('MESSAGE', ({ status }) => status?.message ?? ''),
        ]
      : []),
  ];
}

const bytes = (count: number | undefined) => (count === undefined ? '-' : formatBytes(count));
const seconds = (count: number | undefined) => (count === undefined ? '-' : formatSeconds(count));
