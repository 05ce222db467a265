/** The state of all backups, the worst first, for a page, a plugin and an assistant. Pure. */
import type { KmRestore } from '../api/restore.ts';
import { locationOverview } from './copies.ts';
import { coverageOf } from './coverage.ts';
import { HEALTH_ORDER, type Overview, type ScheduleOverview, worstFirst } from './model.ts';
import { known, type Records, type RunRecord, toTime } from './records.ts';
import { drillOverview, restoresOverview, scheduleKeyOf } from './restores.ts';
import { scheduleOverview } from './schedule.ts';

export { adviceOf, explanationOf, type Reader } from './advice.ts';
export * from './model.ts';
export type { ClaimRecord, Records, RunRecord } from './records.ts';

const byName = (a: ScheduleOverview, b: ScheduleOverview) => {
  const [nameA, nameB] = [a, b].map(({ namespace, name }) => `${namespace ?? ''}/${name}`);
  return nameA! < nameB! ? -1 : nameA! > nameB! ? 1 : 0;
};

const sum = <T>(items: readonly T[], value: (item: T) => number) =>
  items.reduce((total, item) => total + value(item), 0);

/** The whole from its schedules: sorted and counted. */
export function overviewOf(
  schedules: readonly ScheduleOverview[],
  rest: Pick<Overview, 'restores'> & Partial<Pick<Overview, 'coverage' | 'locations'>>,
  nowMs: number,
): Overview {
  const sorted = schedules.toSorted((a, b) => worstFirst(a, b) || byName(a, b));
  const counts: Overview['counts'] = {};
  for (const { health } of sorted) counts[health] = (counts[health] ?? 0) + 1;
  return {
    version: 1,
    time: toTime(nowMs) ?? '',
    health: HEALTH_ORDER.find((health) => counts[health]) ?? 'OK',
    counts,
    totals: {
      schedules: sorted.length,
      archives: sum(sorted, ({ archives }) => archives?.count ?? 0),
      bytes: sum(sorted, ({ archives }) => archives?.bytes ?? 0),
      running: sum(sorted, ({ running }) => running.length),
    },
    schedules: sorted,
    ...rest,
  };
}

/** The state of all backups from plain resources. Statuses may be partial, as those of other versions are. */
export function overviewOfResources(
  { schedules, backups, restores, claims, locations }: Records,
  nowMs: number,
): Overview {
  const runKey = ({ metadata, spec }: RunRecord) => `${metadata.namespace}/${spec.scheduleName}`;
  const scheduleOfRun = new Map<string, string>();
  const records = Map.groupBy(backups, (record) => {
    scheduleOfRun.set(`${record.metadata.namespace}/${record.metadata.name}`, record.spec.scheduleName);
    return runKey(record);
  });
  const keyOf = (restore: KmRestore) =>
    scheduleKeyOf(restore, (namespace, name) => scheduleOfRun.get(`${namespace}/${name}`));
  const allRestores = [...restores];
  const restoresOf = Map.groupBy(allRestores, (restore) => keyOf(restore) ?? '');
  const list = schedules.map((schedule) => {
    const key = `${schedule.metadata.namespace}/${schedule.metadata.name}`;
    const drill = drillOverview(restoresOf.get(key) ?? []);
    return scheduleOverview(schedule, records.get(key) ?? [], drill, nowMs);
  });
  return overviewOf(
    list,
    known({
      restores: restoresOverview(allRestores, keyOf),
      locations: locations && [...locations].map(locationOverview),
      coverage: claims && coverageOf(claims, list),
    }),
    nowMs,
  );
}
