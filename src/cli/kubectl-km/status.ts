import { Command } from 'commander';
import { readOverview } from '../../fleet/overview.ts';
import { formatBytes } from '../../log/units.ts';
import { HEALTHS, type Overview, type ScheduleOverview, type Severity } from '../../overview/index.ts';
import { type Column, wrapped } from '../km-backup/fitted-table.ts';
import { ALL_NAMESPACES, addClusterFlags, connect, type PluginContext } from './context.ts';
import { columnsFor, type ListFlags, listed, placeText } from './list-output.ts';
import {
  addOutputFlags,
  age,
  ago,
  ahead,
  paint,
  roomOf,
  write,
  writeData,
  writeNames,
  writeTable,
} from './output.ts';

export function command(context: PluginContext): Command {
  const status = new Command('status')
    .description('show all schedules: health, last and next run, archives, drills; what is wrong comes first')
    .argument('[schedules...]', 'only these')
    .addOption(ALL_NAMESPACES);
  return addOutputFlags(addClusterFlags(status), ['wide', 'json', 'yaml', 'name']).action(
    async (names: string[], flags: ListFlags) => {
      const { cluster, namespace } = await connect(flags, context);
      const where = listed(flags, namespace);
      const all = await readOverview(cluster, where, { runs: 'unsuccessful' });
      const overview = names.length === 0 ? all : only(all, names);
      if (flags.output === 'json' || flags.output === 'yaml') return writeData(flags.output, overview);
      if (flags.output === 'name')
        return writeNames(
          'kmbackupschedule.km.duskmantle.io',
          overview.schedules.map(({ name }) => name),
        );
      print(overview, cluster.clock.now(), where, flags, context);
    },
  );
}

function only(overview: Overview, names: readonly string[]): Overview {
  return { ...overview, schedules: overview.schedules.filter(({ name }) => names.includes(name)) };
}

function print(
  overview: Overview,
  nowMs: number,
  namespace: string | undefined,
  flags: ListFlags,
  context: PluginContext,
): void {
  const { schedules } = overview;
  if (schedules.length === 0) {
    write(wrapped(`No schedules ${placeText(namespace)}.`, roomOf(context), ''));
    return;
  }
  writeTable(columnsOf(schedules, nowMs, flags), flags, context);
  for (const schedule of schedules) write(findings(schedule, flags.allNamespaces, roomOf(context)));
}

export const COLOUR: Readonly<Record<Severity, 'red' | 'yellow' | 'green' | 'dim'>> = {
  critical: 'red',
  warning: 'yellow',
  idle: 'dim',
  ok: 'green',
};

function columnsOf(schedules: readonly ScheduleOverview[], nowMs: number, flags: ListFlags): Column[] {
  const column = columnsFor(schedules);
  const severityOf = new Map(
    Object.values(HEALTHS).map(({ label, severity }) => [label as string, severity]),
  );
  const wide = flags.output === 'wide';
  return [
    ...(flags.allNamespaces ? [column('NAMESPACE', ({ namespace = '' }) => namespace, { least: 12 })] : []),
    column('NAME', ({ name }) => name, { least: 24 }),
    column('HEALTH', ({ health }) => HEALTHS[health].label, {
      paint: (padded, cell) => paint(COLOUR[severityOf.get(cell) ?? 'idle'], padded),
    }),
    column('LAST', ({ lastSuccess }) => ago(lastSuccess?.time, nowMs)),
    column('NEXT', ({ nextTime, running }) => (running.length > 0 ? 'running' : ahead(nextTime, nowMs)), {
      weight: 6,
    }),
    column('ARCHIVES', ({ archives }) => (archives ? String(archives.count) : '-'), {
      weight: 4,
      right: true,
    }),
    column('SIZE', ({ archives }) => (archives ? formatBytes(archives.bytes) : '-'), {
      weight: 3,
      right: true,
    }),
    ...(schedules.some(({ copies }) => copies?.length)
      ? [column('COPIES', (schedule) => copiesText(schedule, nowMs), { weight: 5 })]
      : []),
    column('DRILL', (schedule) => drillText(schedule, nowMs), { weight: 5 }),
    column('SCHEDULE', ({ schedule }) => schedule, { weight: 2, least: 9 }),
    ...(wide
      ? [
          column('CLAIM', ({ source }) => source.claimName ?? ''),
          column('MISSED', ({ totals }) => String(totals.missed), { right: true }),
          column('REASON', ({ findings: [first] }) => first?.reason ?? ''),
        ]
      : []),
  ];
}

/** How old the newest copy is, in the location that is furthest behind. */
function copiesText({ copies = [] }: ScheduleOverview, nowMs: number): string {
  const wanted = copies.filter(({ wanted: is }) => is);
  if (wanted.length === 0) return '-';
  if (wanted.some(({ phase }) => phase === 'Failed')) return 'failed';
  const times = wanted.map(({ lastSuccess }) => lastSuccess);
  if (times.includes(undefined)) return 'none yet';
  return ago(times.toSorted().at(0), nowMs);
}

function drillText({ drill }: ScheduleOverview, nowMs: number): string {
  if (!drill?.last) return 'never';
  const when = age(nowMs - Date.parse(drill.last.time));
  return drill.last.phase === 'Succeeded' ? when : `failed ${when}`;
}

/** What is wrong with a schedule, and what to do; nothing for one that is well. */
function findings(schedule: ScheduleOverview, withNamespace: boolean, room: number | undefined): string {
  const { namespace, name } = schedule;
  const grave = schedule.findings.filter(({ health }) => HEALTHS[health].severity !== 'idle');
  if (grave.length === 0) return '';
  const title = withNamespace ? `${namespace}/${name}` : name;
  return grave
    .map(({ health, reason, message, todo }) => {
      const said = wrapped(`${title}: ${reason}: ${message}`, room, '  ', '');
      const advice = todo === undefined ? '' : wrapped(`→ ${todo.replaceAll('`', '')}`, room, '    ', '  ');
      return `\n${paint(COLOUR[HEALTHS[health].severity], said.trimEnd())}\n${advice}`;
    })
    .join('');
}
