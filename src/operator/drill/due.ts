/** When the drill of a schedule is due, and which drills are settled. Pure. */
import { type Drilled, drillCadence } from '../../api/drill-cadence.ts';
import type { KmRestore } from '../../api/restore.ts';
import { cadenceOf, successDueOf } from '../../api/schedule-cadence.ts';
import { nextTime, settle } from '../../schedule/index.ts';
import { fromTime } from '../time.ts';
import { type DrillKey, keyOfDrill } from './key.ts';

/** The same for equal cadences; `suspended` while suspended. */
export function describeDrills({ spec }: Drilled): string {
  const { cron, timeZone, every, from } = spec.drill;
  if (spec.suspend) return 'suspended';
  if (cron !== undefined) return `${cron} ${timeZone ?? spec.timeZone}`;
  return from ? `every ${every} copies in ${from.locationRef.name}` : `every ${every} archives`;
}

export type DrillsDue =
  | { readonly ok: false; readonly problem: string }
  | {
      readonly ok: true;
      /** The drill that shall run now, or when the running one has ended. */
      readonly due: DrillKey | undefined;
      readonly settledUntilMs?: number;
      readonly settledArchives?: number;
      readonly nextMs?: number;
    };

/** Drills that passed meanwhile count as one: the latest is due. */
export function drillsDue(schedule: Drilled, drills: readonly KmRestore[], nowMs: number): DrillsDue {
  const before = schedule.status?.drill;
  const changed = before === undefined || before.cadence !== describeDrills(schedule);
  const keys = drills.flatMap((drill) => keyOfDrill(drill) ?? []);
  const parsed = drillCadence(schedule);
  if (!parsed) return { ok: true, ...byArchives(schedule, keys, changed) };
  if (!parsed.ok) return { ok: false, problem: `spec.drill: ${parsed.message}` };
  const nextMs = nextTime(parsed.cadence, nowMs);
  if (nextMs === null) {
    const { cron } = schedule.spec.drill;
    return { ok: false, problem: `spec.drill.cron "${cron}" names no date in the next twelve years.` };
  }
  const { dueMs, settledUntilMs } = settle({
    cadence: parsed.cadence,
    nowMs,
    settledUntilMs: before?.settledUntil === undefined ? nowMs : fromTime(before.settledUntil),
    runsMs: keys.flatMap((key) => (key.kind === 'time' ? key.atMs : [])),
    changed,
    suspended: schedule.spec.suspend,
  });
  const settled = { ok: true, nextMs, settledUntilMs } as const;
  if (dueMs === null) return { ...settled, due: undefined };
  return nothingToProve(schedule, nowMs)
    ? { ...settled, settledUntilMs: dueMs, due: undefined }
    : { ...settled, due: { kind: 'time', atMs: dueMs } };
}

/** Complete archives so far, or copies in the location of the drills: a new archive is not copied yet. */
function countOf({ spec, status }: Drilled): number {
  const { from } = spec.drill;
  if (!from) return status?.runs?.succeeded ?? 0;
  return status?.copies?.find(({ location }) => location === from.locationRef.name)?.copied ?? 0;
}

function byArchives(
  schedule: Drilled,
  keys: readonly DrillKey[],
  changed: boolean,
): { due: DrillKey | undefined; settledArchives: number } {
  const { spec, status } = schedule;
  const every = spec.drill.every ?? 1;
  const count = countOf(schedule);
  const drilled = keys.flatMap((key) => (key.kind === 'archives' && key.count <= count ? key.count : []));
  const known = changed ? count : Math.min(count, status?.drill?.settledArchives ?? count);
  const settledArchives = Math.max(known, ...drilled);
  const passed = Math.floor((count - settledArchives) / every);
  const due = passed > 0 && !spec.suspend;
  return {
    settledArchives,
    due: due ? { kind: 'archives', count: settledArchives + passed * every } : undefined,
  };
}

/** There is no archive yet, and none is overdue. */
function nothingToProve(schedule: Drilled, nowMs: number): boolean {
  if (schedule.status?.lastSuccessfulTime !== undefined) return false;
  const parsed = cadenceOf(schedule);
  if (!parsed.ok) return true;
  const dueMs = successDueOf(schedule, parsed.cadence);
  return dueMs === null || dueMs > nowMs;
}
