import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import type { Log } from '../../test/cluster/index.ts';
import { startStubKubelet } from '../../test/support/stub-kubelet.ts';
import { auditEnd, countRequests } from './audit.ts';
import {
  type CONTROLLERS,
  type ControlPlane,
  eachOf,
  putObjects,
  removeObjects,
  withControlPlane,
} from './control-plane.ts';
import { cronAt, type Lag, lagOf, minuteAfter, watchJobs } from './lag.ts';
import {
  cpuSeconds,
  type Memory,
  memoryOf,
  type OperatorProcess,
  startOperatorProcess,
  sumOf,
} from './operator-process.ts';
import {
  ASLEEP,
  finishedRuns,
  makeCronJobs,
  makeNamespaces,
  makeSchedules,
  schedules,
  settledSchedules,
  withStatus,
} from './population.ts';

export interface Context {
  log: Log;
  /** Folder for the logs of operators. */
  logFile: string;
  nodeOptions: readonly string[];
}

const MINUTE_MS = 60_000;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** No concurrency limit, and as many requests and workers as the tuned CronJob controller has. */
export const OPERATOR_TUNED = [
  '--api-qps=2000',
  '--workers=50',
  '--max-concurrent-runs=20000',
  '--max-concurrent-runs-per-namespace=20000',
];

/** How long the stubbed pods of runs take. */
export const POD_TAKES = { startMs: 1_000, runMs: 2_000 };

function operatorOn(plane: ControlPlane, context: Context, options: readonly string[] = OPERATOR_TUNED) {
  return startOperatorProcess(plane.cluster.kubeconfigPath, options, context.logFile, context.nodeOptions);
}

async function controllerManager(plane: ControlPlane): Promise<number> {
  const found = (await plane.cluster.status()).find(
    ({ component }) => component === 'kube-controller-manager',
  );
  if (found?.pid === undefined) throw new Error('the controller manager does not run');
  return found.pid;
}

/** Lag of CronJobs that are all due in one minute; Jobs stay pending. */
export function cronJobLag(
  controllers: keyof typeof CONTROLLERS,
  count: number,
  context: Context,
): Promise<Lag & Memory> {
  return withControlPlane(controllers, context, async (plane) => {
    // Long enough for the controllers to see all of them before the scheduled time, even 1,000.
    const slotMs = minuteAfter(10_000 + count * 5);
    await makeCronJobs(plane, schedules(count, 'cron', cronAt(slotMs)));
    const watch = await watchJobs(plane);
    await watch.until(count, slotMs + 4 * MINUTE_MS);
    await watch.stop();
    const memory = memoryOf(await controllerManager(plane));
    return { ...lagOf(watch.seen.map((at) => at - slotMs)), ...memory };
  });
}

/** Lag of schedules that are all due in one minute; Jobs stay pending. */
export function scheduleLag(count: number, context: Context): Promise<Lag & Memory> {
  return withControlPlane('tuned', context, async (plane) => {
    const operator = await operatorOn(plane, context);
    const slotMs = minuteAfter(10_000 + count * 12);
    await makeSchedules(plane, schedules(count, 'due', cronAt(slotMs)));
    await operator.settled();
    const watch = await watchJobs(plane);
    await watch.until(count, slotMs + 4 * MINUTE_MS);
    await watch.stop();
    const memory = memoryOf(operator.pid);
    await operator.stop();
    return { ...lagOf(watch.seen.map((at) => at - slotMs)), ...memory };
  });
}

export interface Requests {
  runs: number;
  /** Requests a run, by agent and name. */
  byAgent: Record<string, Record<string, number>>;
}

async function perRun(file: string, offset: number, runs: number, namespaces: string): Promise<Requests> {
  const byAgent: Requests['byAgent'] = {};
  const within = (namespace: string) => namespace.startsWith(`${namespaces}-`);
  for (const [agent, counts] of await countRequests(file, offset, within)) {
    const rows = [...counts].map(([name, count]) => [name, Math.round((count / runs) * 100) / 100] as const);
    byAgent[agent] = Object.fromEntries(
      rows.filter(([, value]) => value >= 0.01).sort((a, b) => b[1] - a[1]),
    );
  }
  return { runs, byAgent };
}

export interface RequestsPair {
  ours: Requests;
  peer: Requests;
}

/** Runs of each schedule before the one that is counted, so that each counted run also removes an old Job. */
const WARM_UP = 2;

/**
 * Requests for each run, from the audit log of the API server: `count` CronJobs and as many schedules, in separate
 * namespaces, are due each minute. After some runs, the requests of one scheduled time are counted.
 */
export function requestsPerRun(count: number, context: Context): Promise<RequestsPair> {
  const auditDir = mkdtempSync(join(tmpdir(), 'km-bench-audit-'));
  const file = join(auditDir, 'audit.log');
  return withControlPlane('tuned', { ...context, auditDir }, async (plane) => {
    const kubelet = await startStubKubelet(plane.cluster.kubeconfigPath, { takes: POD_TAKES });
    const operator = await operatorOn(plane, context, [...OPERATOR_TUNED, '--no-leader-elect']);
    await makeCronJobs(plane, schedules(count, 'cron', '* * * * *', 'cron'));
    await makeSchedules(plane, schedules(count, 'due', '* * * * *'));
    // The work of a scheduled time is over long before the middle of its minute.
    const from = minuteAfter(0) + WARM_UP * MINUTE_MS - MINUTE_MS / 2;
    await pause(from - Date.now());
    const offset = auditEnd(file);
    await pause(MINUTE_MS);
    const peer = await perRun(file, offset, count, 'cron');
    const ours = await perRun(file, offset, count, 'bench');
    await operator.stop();
    await kubelet.stop();
    return { ours, peer };
  }).finally(() => rmSync(auditDir, { recursive: true, force: true }));
}

export interface Usage extends Memory {
  seconds: number;
  cpuPercent: number;
}

export async function usageOf(pid: number, seconds: number): Promise<Usage> {
  const before = cpuSeconds(pid);
  const started = performance.now();
  await pause(seconds * 1000);
  const wall = (performance.now() - started) / 1000;
  const used = cpuSeconds(pid) - before;
  return { seconds, cpuPercent: Math.round((used / wall) * 10_000) / 100, ...memoryOf(pid) };
}

export interface Growth {
  schedules: number;
  runs: number;
  cpuMsPerRun: number;
  requestsPerRun: number;
  lag: Lag;
}

export interface Scale {
  growth: Growth[];
  hourly: Lag & { schedules: number; minutes: number; slots: number };
  idle: Usage & { schedules: number; backups: number; requests: Record<string, number> };
  ready: { schedules: number; backups: number; readyMs: number; settledMs: number } & Memory;
}

export interface ScaleSizes {
  /** Numbers of sleeping schedules, ascending. */
  steps: readonly number[];
  due: number;
  hourly: number;
  minutes: number;
  backupsEach: number;
  idleSeconds: number;
}

/** Runs `due` schedules once while `sleeping` others exist. */
async function growthStep(
  plane: ControlPlane,
  operator: OperatorProcess,
  sleeping: number,
  due: number,
): Promise<Growth> {
  const slotMs = minuteAfter(10_000 + due * 20);
  const wanted = schedules(due, `due-${sleeping}`, cronAt(slotMs));
  await makeSchedules(plane, wanted);
  await operator.settled();
  const watch = await watchJobs(plane);
  await pause(slotMs - 1_000 - Date.now());
  const requests = async () => sumOf(await operator.metrics(), 'km_operator_api_requests_total');
  const [cpu, asked] = [cpuSeconds(operator.pid), await requests()];
  await watch.until(due, slotMs + 2 * MINUTE_MS);
  await pause(10_000);
  const [cpuAfter, askedAfter] = [cpuSeconds(operator.pid), await requests()];
  await watch.stop();
  await eachOf(wanted, 32, ({ namespace, name }) => plane.all.schedules.delete(namespace, name));
  return {
    schedules: sleeping + due,
    runs: due,
    cpuMsPerRun: Math.round(((cpuAfter - cpu) * 10_000) / due) / 10,
    requestsPerRun: Math.round(((askedAfter - asked) / due) * 10) / 10,
    lag: lagOf(watch.seen.map((at) => at - slotMs)),
  };
}

/** The cases that need many schedules, on one control plane. */
export function scale(sizes: ScaleSizes, context: Context): Promise<Scale> {
  const auditDir = mkdtempSync(join(tmpdir(), 'km-bench-audit-'));
  const file = join(auditDir, 'audit.log');
  return withControlPlane('tuned', { ...context, auditDir }, async (plane) => {
    const { log } = context;
    const kubelet = await startStubKubelet(plane.cluster.kubeconfigPath, { takes: POD_TAKES });
    let operator = await operatorOn(plane, context);
    const growth: Growth[] = [];
    let sleeping = 0;
    for (const step of sizes.steps) {
      log(`${step} sleeping schedules`);
      const more = schedules(step, 'asleep', ASLEEP).slice(sleeping);
      await putObjects(plane, 'kmbackupschedules', await settledSchedules(plane, more));
      sleeping = step;
      await operator.settled();
      growth.push(await growthStep(plane, operator, sleeping, sizes.due));
    }
    await operator.stop();

    const wanted = schedules(sizes.hourly, 'asleep', ASLEEP);
    log(`${wanted.length * sizes.backupsEach} finished runs`);
    await removeObjects(plane, 'kmbackupschedules');
    await removeObjects(plane, 'kmbackups');
    const owners = await settledSchedules(plane, wanted);
    const runs = [...finishedRuns(owners, sizes.backupsEach)];
    const runsOf = Map.groupBy(runs, ({ spec }) => spec.scheduleName);
    await putObjects(plane, 'kmbackups', runs);
    await putObjects(
      plane,
      'kmbackupschedules',
      owners.map((owner) => withStatus(owner, runsOf.get(owner.metadata.name) ?? [])),
    );
    const backups = runs.length;

    log('start to ready');
    const started = performance.now();
    operator = await operatorOn(plane, context);
    const memory = memoryOf(operator.pid);
    await operator.settled();
    const ready = {
      schedules: owners.length,
      backups,
      readyMs: Math.round(operator.readyMs),
      settledMs: Math.round(performance.now() - started),
      ...memory,
    };

    log('idle');
    await pause(5_000);
    const offset = auditEnd(file);
    const usage = await usageOf(operator.pid, sizes.idleSeconds);
    const asked = (await countRequests(file, offset)).get('operator') ?? new Map<string, number>();
    const idle = { schedules: owners.length, backups, requests: Object.fromEntries(asked), ...usage };

    log(`${sizes.hourly} hourly schedules`);
    await removeObjects(plane, 'kmbackupschedules');
    await removeObjects(plane, 'kmbackups');
    await operator.settled();
    const result = await hourlySlots(plane, operator, sizes, log);
    await operator.stop();
    await kubelet.stop();
    return { growth, ready, idle, hourly: { schedules: sizes.hourly, minutes: sizes.minutes, ...result } };
  }).finally(() => rmSync(auditDir, { recursive: true, force: true }));
}

/** Compares the runs of some whole minutes with the scheduled times that `nextScheduleTime` named in advance. */
async function hourlySlots(
  plane: ControlPlane,
  operator: OperatorProcess,
  sizes: ScaleSizes,
  log: Context['log'],
): Promise<Lag & { slots: number }> {
  const hourly = await settledSchedules(plane, schedules(sizes.hourly, 'hourly', 'H * * * *'));
  const slotOf = ({ status }: KmBackupSchedule) => Date.parse(status?.nextScheduleTime ?? '');
  const from = minuteAfter(40_000);
  const to = from + sizes.minutes * MINUTE_MS;
  const promised = hourly.filter((schedule) => slotOf(schedule) >= from && slotOf(schedule) < to);
  await makeNamespaces(
    plane,
    // Schedules that are due just before or after need their claims too.
    hourly
      .filter((schedule) => slotOf(schedule) < to + MINUTE_MS)
      .map(({ metadata }) => ({ ...metadata, cron: '' })),
  );
  const seen = new Map<string, number>();
  const watch = await watchJobs(plane, (job) => {
    // A Job is named after its run, which is named after the schedule and the scheduled time.
    seen.set(`${job.metadata.namespace}/${job.metadata.name.replace(/-\d{12}-\w+$/, '')}`, Date.now());
  });
  await putObjects(plane, 'kmbackupschedules', hourly);
  await operator.settled();
  await pause(to + 20_000 - Date.now());
  await watch.stop();
  for (const { metadata } of promised) {
    const { namespace, name } = metadata;
    if (seen.has(`${namespace}/${name}`)) continue;
    const { status } = await plane.all.schedules.get(namespace, name);
    log(`no Job seen of ${namespace}/${name}: ${JSON.stringify(status)}`);
  }
  const lags = promised.flatMap((schedule) => {
    const at = seen.get(`${schedule.metadata.namespace}/${schedule.metadata.name}`);
    return at === undefined ? [] : [at - slotOf(schedule)];
  });
  return { ...lagOf(lags), slots: promised.length };
}
