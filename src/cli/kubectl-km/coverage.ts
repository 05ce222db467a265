import { Command } from 'commander';
import { FleetError } from '../../fleet/errors.ts';
import { readOverview } from '../../fleet/overview.ts';
import type { ClaimOverview, Coverage } from '../../overview/index.ts';
import { type Column, wrapped } from '../km-backup/fitted-table.ts';
import { ALL_NAMESPACES, addClusterFlags, connect, type PluginContext } from './context.ts';
import { columnsFor, type ListFlags, listed } from './list-output.ts';
import { addOutputFlags, ago, paint, roomOf, write, writeData, writeNames, writeTable } from './output.ts';

export function command(context: PluginContext): Command {
  const coverage = new Command('coverage')
    .description(
      'show which claims are protected: those without a schedule, stale or never drilled come first',
    )
    .addOption(ALL_NAMESPACES);
  return addOutputFlags(addClusterFlags(coverage), ['wide', 'json', 'yaml', 'name']).action(
    async (flags: ListFlags) => {
      const { cluster, namespace } = await connect(flags, context);
      const where = listed(flags, namespace);
      const found = (await readOverview(cluster, where, { runs: 'unsuccessful', claims: true })).coverage;
      if (!found) {
        throw new FleetError(
          'Denied',
          `You may not list the claims ${where === undefined ? 'of all namespaces' : `of namespace ${where}`}.`,
        );
      }
      if (flags.output === 'json' || flags.output === 'yaml') return writeData(flags.output, found);
      if (flags.output === 'name')
        return writeNames(
          'persistentvolumeclaim',
          found.claims.map(({ name }) => name),
        );
      print(found, cluster.clock.now(), flags, context);
    },
  );
}

function print(
  { claims, covered, gaps }: Coverage,
  nowMs: number,
  flags: ListFlags,
  context: PluginContext,
): void {
  const room = roomOf(context);
  if (claims.length > 0) writeTable(columnsOf(claims, nowMs, flags), flags, context);
  const missing = Object.entries(gaps).map(([reason, count]) => `${reason} ${count}`);
  const said = `${covered} of ${claims.length} claims have no gap${missing.length > 0 ? `; ${missing.join(', ')}` : ''}.`;
  write(`${claims.length > 0 ? '\n' : ''}${wrapped(said, room, '')}`);
  const advice = new Map(claims.flatMap((claim) => claim.gaps).map((gap) => [gap.reason, gap]));
  for (const { reason, message, todo } of advice.values()) {
    write(wrapped(`${reason}: ${message}${todo ? ` ${todo.replaceAll('`', '')}` : ''}`, room, '    ', '  '));
  }
}

function columnsOf(claims: readonly ClaimOverview[], nowMs: number, flags: ListFlags): Column[] {
  const column = columnsFor(claims);
  return [
    ...(flags.allNamespaces ? [column('NAMESPACE', ({ namespace }) => namespace, { least: 12 })] : []),
    column('CLAIM', ({ name }) => name, { least: 20 }),
    column('GAP', ({ gaps, holdsArchivesOf, schedules }) => gapText(gaps, schedules, holdsArchivesOf), {
      paint: (padded, cell) =>
        paint(
          cell.startsWith('No') || cell.includes('Stale') ? 'red' : cell === '-' ? 'green' : 'yellow',
          padded,
        ),
    }),
    column('LAST', ({ lastSuccess }) => ago(lastSuccess, nowMs)),
    column('DRILL', ({ lastDrill }) => ago(lastDrill, nowMs), { weight: 2 }),
    column('SCHEDULES', ({ schedules }) => schedules.join(', ') || '-', { weight: 1, least: 12 }),
    ...(flags.output === 'wide'
      ? [
          column('ALL GAPS', ({ gaps }) => gaps.map(({ reason }) => reason).join(', ') || '-'),
          column('HOLDS ARCHIVES OF', ({ holdsArchivesOf }) => holdsArchivesOf.join(', ') || '-'),
        ]
      : []),
  ];
}

function gapText(
  gaps: ClaimOverview['gaps'],
  schedules: readonly string[],
  holds: readonly string[],
): string {
  const [first, ...rest] = gaps;
  if (first) return `${first.reason}${rest.length > 0 ? ` +${rest.length}` : ''}`;
  return schedules.length === 0 && holds.length > 0 ? 'archives' : '-';
}
