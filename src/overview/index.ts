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

/** Resources that are looked up as they are needed: the runs of one schedule at a time. */
export interface LookUp extends Omit<Records, 'backups'> {
  /** @param key `namespace/name` of a schedule */
  runsOf: (key: string) => readonly RunRecord[];
  /** Name of the schedule of a KmBackup. */
  scheduleOfBackup: (namespace: string, name: string) => string | undefined;
}

/** The same as `overviewOfResources`, with a pause after each schedule for whoever has other work. */
export function* overviewInSteps(
  { schedules, restores, claims, locations, runsOf, scheduleOfBackup }: LookUp,
  nowMs: number,
): Generator<undefined, Overview> {
  const keyOf = (restore: KmRestore) => scheduleKeyOf(restore, scheduleOfBackup);
  const allRestores = [...restores];
  const restoresOf = Map.groupBy(allRestores, (restore) => keyOf(restore) ?? '');
  const list: ScheduleOverview[] = [];
  for (const schedule of schedules) {
    const key = `${schedule.metadata.namespace}/${schedule.metadata.name}`;
    const drill = drillOverview(schedule, restoresOf.get(key) ?? []);
    list.push(scheduleOverview(schedule, runsOf(key), drill, nowMs));
    yield;
  }
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

/** The state of all backups from plain resources. Statuses may be partial, as those of other versions are. */
export function overviewOfResources({ backups, ...records }: Records, nowMs: number): Overview {
  const scheduleOfRun = new Map<string, string>();
  const runs = Map.groupBy(backups, ({ metadata, spec }) => {
    scheduleOfRun.set(`${metadata.namespace}/${metadata.name}`, spec.scheduleName);
    return `${metadata.namespace}/${spec.scheduleName}`;
  });
  const steps = overviewInSteps(
    {
      ...records,
      runsOf: (key) => runs.get(key) ?? [],
      scheduleOfBackup: (namespace, name) => scheduleOfRun.get(`${namespace}/${name}`),
    },
    nowMs,
  );
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}
