/**
 * `node scripts/dashboard-pictures/record.ts --folder FOLDER`: a week of the metrics of the real operator, for draw.ts
 * (`--hours 12`: a trial). API server, Job controller, operator and km-backup are real; the clock is stepped from one
 * scrape to the next, and Prometheus gets the scrapes as blocks.
 */
import fs from 'node:fs';
import path from 'node:path';
import { API_VERSION, MANAGED_SELECTOR } from '../../src/api/names.ts';
import { parseArguments } from '../../src/cli/operator/arguments.ts';
import { runOperator } from '../../src/cli/operator/run.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import { clusterDown, clusterUp, elapsedLog } from '../../test/cluster/index.ts';
import { run } from '../../test/cluster/process.ts';
import { startFaultProxy } from '../../test/faultproxy/index.ts';
import { ensurePrometheus } from '../../test/support/prometheus.ts';
import { startStubKubelet } from '../../test/support/stub-kubelet.ts';
import { claim } from '../../test/support/volume.ts';
import { commandLine, numberOf } from '../command-line.ts';
import { HOURS, LOCATIONS, NAMESPACES, OUTAGE, SCHEDULES, specOf, work } from './fleet.ts';
import { folderOf } from './pictures.ts';
import { Pods } from './pods.ts';
import { SteppedClock } from './stepped-clock.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
const NAME = 'km-pictures';
const PORT = 21_817;
const CRDS = path.join(import.meta.dirname, '../../crds');
/** The operator defers nothing for longer. */
const STILL_MS = 1_800;
const log = elapsedLog(process.stderr);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function createAll(client: KubeClient, all: Resources, pods: Pods): Promise<void> {
  const createClaim = (namespace: string, name: string) => {
    pods.claim(namespace, name);
    return all.claims.create(namespace, claim(name));
  };
  for (const name of NAMESPACES) {
    await client.request({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name } } });
    await createClaim(name, 'archives');
  }
  for (const namespace of LOCATIONS) {
    await createClaim(namespace, 'offsite');
    const directory = { persistentVolumeClaim: { claimName: 'offsite' } };
    const spec = { directory, encryption: { none: true }, checkInterval: '2h' };
    const metadata = { name: 'offsite' };
    await all.locations.create(namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackupLocation',
      metadata,
      spec,
    } as never);
  }
  for (const key of Object.keys(SCHEDULES)) {
    const [namespace, name] = key.split('/') as [string, string];
    await createClaim(namespace, name);
    const object = {
      apiVersion: API_VERSION,
      kind: 'KmBackupSchedule',
      metadata: { name },
      spec: specOf(key),
    };
    await all.schedules.create(namespace, object as never);
  }
}

/** How many Jobs, runs and drills have not ended. */
async function underWay(all: Resources): Promise<number> {
  const [jobs, backups, restores] = await Promise.all([
    all.jobs.list(undefined, { labelSelector: MANAGED_SELECTOR }),
    all.backups.list(undefined),
    all.restores.list(undefined),
  ]);
  const done = /^(Succeeded|Failed|Incomplete|Skipped|Found)$/;
  return (
    jobs.items.filter(
      ({ status }) =>
        !status?.conditions?.some(
          ({ type, status: is }) => is === 'True' && /^(Complete|Failed)$/.test(type),
        ),
    ).length +
    backups.items.filter(({ status }) => !done.test(status?.phase ?? '')).length +
    restores.items.filter(({ status }) => !done.test(status?.phase ?? '')).length
  );
}

async function settled(all: Resources, stillMs: number): Promise<void> {
  const end = Date.now() + 60_000;
  for (let since = Date.now(); Date.now() - since < stillMs; await pause(150)) {
    const left = await underWay(all);
    if (left > 0) since = Date.now();
    if (Date.now() > end) throw new Error(`${left} Jobs, runs or drills do not end`);
  }
}

/** One day of scrapes, in the format that promtool imports. */
class Recorder {
  readonly #folder: string;
  readonly #promtool: string;
  #lines: string[] = [];

  constructor(folder: string, promtool: string) {
    this.#folder = folder;
    this.#promtool = promtool;
  }

  async scrape(atMs: number): Promise<void> {
    const page = await (await fetch(`http://127.0.0.1:${PORT}/metrics`)).text();
    for (const line of page.split('\n'))
      if (line.startsWith('km_')) this.#lines.push(`${line} ${atMs / 1000}`);
  }

  async store(): Promise<void> {
    const file = path.join(this.#folder, 'scrapes.om');
    fs.writeFileSync(file, `${this.#lines.splice(0).join('\n')}\n# EOF\n`);
    await run(this.#promtool, [
      'tsdb',
      'create-blocks-from',
      'openmetrics',
      '--quiet',
      file,
      path.join(this.#folder, 'data'),
    ]);
    fs.rmSync(file);
  }
}

async function recordWeek(
  all: Resources,
  clock: SteppedClock,
  startMs: number,
  pods: Pods,
  recorder: Recorder,
  hours: number,
) {
  for (let hour = 0; hour <= hours; hour++) {
    const isAway = hour > OUTAGE[0] && hour <= OUTAGE[1];
    if (hour % 2 === 0) work(hour, (key) => pods.claim(...(key.split('/') as [string, string])));
    if (hour === 60) await all.schedules.mergePatch('wiki', 'search', { spec: { suspend: true } });
    if (isAway) continue;
    const isLastDay = hour >= hours - 26;
    const everyMs = isLastDay ? MINUTE_MS : 4 * MINUTE_MS;
    for (let atMs = startMs + hour * HOUR_MS; atMs < startMs + (hour + 1) * HOUR_MS; atMs += everyMs) {
      const minute = (atMs - startMs - hour * HOUR_MS) / MINUTE_MS;
      const isDue = minute === 0 && hour % 2 === 0 && hour > 0;
      clock.step(atMs - (isDue ? 300 : 0));
      const wakes = minute % (isLastDay ? 20 : 60) === 0;
      if (wakes) {
        clock.wake();
        await pause(isDue ? 700 : 250);
        if (isDue || (await underWay(all)) > 0) await settled(all, STILL_MS);
      }
      await recorder.scrape(wakes ? Math.max(atMs, clock.now()) : atMs);
      if (hour === hours && minute === 40) break;
    }
    if (hour % 24 === 23 || hour === hours) {
      await recorder.store();
      log(`day ${Math.ceil(hour / 24)}`);
    }
  }
}

const { folder, hours } = commandLine(
  { folder: { type: 'string' }, hours: { type: 'string', default: String(HOURS) } },
  ({ folder: given, hours: count }) => ({
    folder: folderOf(given),
    hours: numberOf('--hours', count, { least: 1, whole: true }),
  }),
);
fs.mkdirSync(folder, { recursive: true });
// What lies ahead of the week, such as the next run, must still be before the machine's time.
const aheadHours = 7 * 24;
const startMs = (Math.floor(Date.now() / (2 * HOUR_MS)) * 2 - hours - aheadHours) * HOUR_MS;
const { promtool } = await ensurePrometheus();
await clusterDown({ name: NAME, log });
const cluster = await clusterUp({ name: NAME, flavour: 'control-plane-only', log });
try {
  await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', '-f', CRDS]);
  const upstream = await fromKubeconfig(cluster.kubeconfigPath);
  const client = new KubeClient(upstream);
  const all = resources(client);
  const clock = new SteppedClock(startMs - HOUR_MS);
  const pods = new Pods(path.join(folder, 'claims'), () => clock.offsetMs);
  const kubelet = await startStubKubelet(cluster.kubeconfigPath, { report: (pod) => pods.run(pod as never) });
  await createAll(client, all, pods);
  const proxy = await startFaultProxy(upstream, Math.random, (text) => clock.translate(text));
  const kubeconfig = path.join(folder, 'kubeconfig');
  fs.writeFileSync(kubeconfig, proxy.kubeconfig());
  const flags = [
    `--kubeconfig=${kubeconfig}`,
    '--image=km-backup',
    '--no-leader-elect',
    `--http-port=${PORT}`,
    '--http-host=127.0.0.1',
    '--log-level=warn',
  ];
  const stop = new AbortController();
  const operator = runOperator(
    parseArguments(['node', 'operator', ...flags], process.env),
    stop.signal,
    clock,
  );
  await pause(2_000);
  await settled(all, STILL_MS);
  log('a week begins');
  const recorder = new Recorder(folder, promtool);
  await recordWeek(all, clock, startMs, pods, recorder, hours);
  fs.writeFileSync(path.join(folder, 'end.json'), JSON.stringify(startMs / 1000 + hours * 3600 + 40 * 60));
  stop.abort();
  await operator;
  await kubelet.stop();
  await proxy.close();
  await client.close();
} finally {
  await clusterDown({ name: NAME, log });
}
