import type { KmBackup } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { isFinished } from '../../src/api/finished.ts';
import { controllerOf } from '../../src/kube/object.ts';
import type { Job, Pod } from '../../src/operator/workloads.ts';
import { archiveOf } from './pods.ts';

const MINUTE_MS = 60_000;

/** What the checks look at: the objects and metrics at the end of the soak. */
export interface Remains {
  schedules: readonly KmBackupSchedule[];
  backups: readonly KmBackup[];
  jobs: readonly Job[];
  pods: readonly Pod[];
  /** Metrics of every replica. */
  pages: readonly string[];
}

export interface Check {
  name: string;
  /** How many things were looked at: a check of nothing proves nothing. */
  looked: number;
  violations: string[];
}

const keyOf = ({ metadata }: { metadata: { namespace: string; name: string } }) =>
  `${metadata.namespace}/${metadata.name}`;

function groupBy<T>(items: readonly T[], key: (item: T) => string | undefined): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const name = key(item);
    if (name === undefined) continue;
    const group = groups.get(name);
    if (group) group.push(item);
    else groups.set(name, [item]);
  }
  return groups;
}

const ownerOf = (object: Job | Pod) => controllerOf(object)?.uid;

function check<T>(name: string, items: readonly T[], violation: (item: T) => string | false): Check {
  return {
    name,
    looked: items.length,
    violations: items.map(violation).filter((text) => text !== false),
  };
}

/** Every sample of a metric by `namespace/schedule` and its other labels, summed over the pages. */
function samplesOf(pages: readonly string[], metric: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of pages.join('\n').split('\n')) {
    const match = /^(\w+)\{(.*)\} (\S+)$/.exec(line);
    if (match?.[1] !== metric) continue;
    const labels = Object.fromEntries(
      [...match[2]!.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]),
    );
    const key = [`${labels['namespace']}/${labels['schedule']}`, labels['result']].filter(Boolean).join(' ');
    found.set(key, (found.get(key) ?? 0) + Number(match[3]));
  }
  return found;
}

const PHASES = {
  Succeeded: 'succeeded',
  Incomplete: 'incomplete',
  Failed: 'failed',
  Skipped: 'skipped',
} as const;
const RESULTS = {
  Succeeded: 'success',
  Incomplete: 'incomplete',
  Failed: 'failure',
  Skipped: 'skipped_lock',
} as const;

/** Scheduled times of `* * * * *` after one instant, up to another. */
const slotsBetween = (afterMs: number, untilMs: number) =>
  Math.floor(untilMs / MINUTE_MS) - Math.floor(afterMs / MINUTE_MS);

/** Checks every promise against the final objects and metrics. Pure; `nowMs` ends the period that is judged. */
export function checksOf(remains: Remains, nowMs: number): Check[] {
  const { schedules, jobs, pods, pages } = remains;
  const backups = remains.backups.filter((backup) => backup.spec.scheduledTime !== undefined);
  const runsOf = groupBy(backups, ({ metadata, spec }) => `${metadata.namespace}/${spec.scheduleName}`);
  const jobsOf = groupBy(jobs, ownerOf);
  const podsOf = groupBy(pods, ownerOf);
  const bySlot = [
    ...groupBy(
      backups,
      ({ metadata, spec }) => `${metadata.namespace}/${spec.scheduleName} ${spec.scheduledTime}`,
    ),
  ];
  const totals = (key: string, phase: string) =>
    (runsOf.get(key) ?? []).filter((run) => run.status?.phase === phase).length;
  const latest = (times: (string | undefined)[]) =>
    times
      .filter((time) => time !== undefined)
      .sort()
      .at(-1);
  const metric = (name: string, expected: (schedule: KmBackupSchedule) => [string, number | undefined][]) => {
    const samples = samplesOf(pages, name);
    const wanted = schedules.flatMap((schedule) =>
      expected(schedule).map(([label, value]) => ({
        key: [keyOf(schedule), label].filter(Boolean).join(' '),
        value,
      })),
    );
    return check(`metric ${name} is the truth`, wanted, ({ key, value }) => {
      const told = samples.get(key);
      return told !== value && `${key}: ${told} instead of ${value}`;
    });
  };

  return [
    check(
      'no scheduled time has two runs',
      bySlot,
      ([slot, runs]) => runs.length > 1 && `${slot}: ${runs.length} KmBackups`,
    ),
    check('no run has two Jobs', backups, (run) => {
      const own = jobsOf.get(run.metadata.uid) ?? [];
      return own.length !== 1 && `${keyOf(run)}: ${own.length} Jobs`;
    }),
    // Not "exactly one": when the API server dies over its answer, the Job controller makes a pod again. It
    // says of itself that a Job's program may start twice; the lock of the destination makes that harmless.
    check('every Job ran a pod', jobs, (job) => !podsOf.has(job.metadata.uid) && `${keyOf(job)}: no pod`),
    check('every Job belongs to a run', jobs, (job) => {
      const owner = ownerOf(job);
      return !backups.some((run) => run.metadata.uid === owner) && `${keyOf(job)}: its KmBackup is not there`;
    }),
    check('every scheduled time was run or counted as missed', schedules, (schedule) => {
      const { settledUntil, missedSlots = 0 } = schedule.status ?? {};
      const runs = runsOf.get(keyOf(schedule))?.length ?? 0;
      const slots = slotsBetween(
        Date.parse(schedule.metadata.creationTimestamp),
        Date.parse(settledUntil ?? schedule.metadata.creationTimestamp),
      );
      return (
        runs + missedSlots !== slots &&
        `${keyOf(schedule)}: ${slots} scheduled times, ${runs} runs, ${missedSlots} missed`
      );
    }),
    check('no scheduled time up to the end is left over', schedules, (schedule) => {
      const settled = Date.parse(schedule.status?.settledUntil ?? '');
      return (
        !(settled >= Math.floor(nowMs / MINUTE_MS) * MINUTE_MS) &&
        `${keyOf(schedule)}: settled only until ${schedule.status?.settledUntil}`
      );
    }),
    check('every run ended as a pod of its Job did', backups, (run) => {
      const [job] = jobsOf.get(run.metadata.uid) ?? [];
      const pods = job ? (podsOf.get(job.metadata.uid) ?? []) : [];
      const { phase, archive, reason, message } = run.status ?? {};
      const ends = pods.map((pod) => {
        const name = archiveOf(pod);
        return name === undefined ? 'Skipped' : `Succeeded with ${name}`;
      });
      const told = archive ? `${phase} with ${archive.name}` : `${phase}`;
      return (
        !ends.includes(told) &&
        `${keyOf(run)}: ${told} (${reason}: ${message}) instead of ${ends.join(' or ') || 'any pod'}`
      );
    }),
    check('every status tells the runs there were', schedules, (schedule) => {
      const key = keyOf(schedule);
      const told = schedule.status?.runs;
      const wrong = Object.entries(PHASES).filter(([phase, field]) => told?.[field] !== totals(key, phase));
      return (
        wrong.length > 0 &&
        `${key}: ${wrong.map(([phase, field]) => `${field} ${told?.[field]} instead of ${totals(key, phase)}`).join(', ')}`
      );
    }),
    check('every status names the last scheduled time and the last success', schedules, (schedule) => {
      const runs = runsOf.get(keyOf(schedule)) ?? [];
      const slot = latest(runs.map((run) => run.spec.scheduledTime));
      const success = latest(
        runs.filter((run) => run.status?.phase === 'Succeeded').map((run) => run.status?.completionTime),
      );
      const { lastScheduleTime, lastSuccessfulTime, active = [] } = schedule.status ?? {};
      if (lastScheduleTime !== slot)
        return `${keyOf(schedule)}: last scheduled time ${lastScheduleTime} instead of ${slot}`;
      if (lastSuccessfulTime !== success)
        return `${keyOf(schedule)}: last success ${lastSuccessfulTime} instead of ${success}`;
      return active.length > 0 && `${keyOf(schedule)}: still active ${active.join(', ')}`;
    }),
    check(
      'every run is over',
      remains.backups,
      (run) => !isFinished(run) && `${keyOf(run)}: ${run.status?.phase}`,
    ),
    metric('km_backup_runs_total', (schedule) =>
      Object.entries(RESULTS).map(([phase, label]) => [label, totals(keyOf(schedule), phase)]),
    ),
    metric('km_backup_missed_slots_total', (schedule) => [['', schedule.status?.missedSlots]]),
    metric('km_backup_last_success_timestamp', (schedule) => {
      const at = latest(
        (runsOf.get(keyOf(schedule)) ?? [])
          .filter((run) => run.status?.phase === 'Succeeded')
          .map((run) => run.status?.completionTime),
      );
      return [['', at === undefined ? undefined : Date.parse(at) / 1000]];
    }),
    check('one replica leads', [pages], (all) => {
      const leaders = all.join('\n').match(/^km_operator_leader 1$/gm)?.length ?? 0;
      return leaders !== 1 && `${leaders} replicas say that they lead`;
    }),
  ];
}
