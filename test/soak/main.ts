/**
 * `npm run soak -- --minutes N [--seed S] [--schedules N] [--report FILE]`: schedules due every minute, two
 * replicas of the operator behind proxies, and random faults; at the end the API objects and the metrics alone must
 * prove that no scheduled time ran twice and none was lost uncounted. If they do not, it prints the violations and
 * exits with 1. The last line is `N passed, N failed`; the report has the same counts in vitest's JSON format.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandLine, numberOf } from '../../scripts/command-line.ts';
import { API_VERSION, MANAGED_SELECTOR } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import { type Cluster, clusterDown, clusterUp, elapsedLog } from '../cluster/index.ts';
import { startStubKubelet } from '../support/stub-kubelet.ts';
import { type Check, checksOf, type Remains } from './checks.ts';
import { FAULTS, inflictFaults } from './faults.ts';
import { reportOf } from './pods.ts';
import { seeded } from './random.ts';
import { Replica } from './replica.ts';

const NAME = 'km-soak';
const CRDS = join(import.meta.dirname, '../../crds');
const NAMESPACES = 4;
const SETTLE_MS = 240_000;
const LOOK_MS = 2_000;
/** The state has settled once it is unchanged for this long: the operator defers nothing for longer. */
const STILL_MS = 4_000;
const MINUTE_MS = 60_000;

const {
  minutes,
  schedules: count,
  seed,
  report,
} = commandLine(
  {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    schedules: { type: 'string', default: '200' },
    report: { type: 'string' },
  },
  (values) => ({
    minutes: numberOf('--minutes', values.minutes, { least: 0.1, whole: false }),
    schedules: numberOf('--schedules', values.schedules, { least: 1, whole: true }),
    seed: numberOf('--seed', values.seed, { least: 0, whole: true }),
    report: values.report,
  }),
);
const log = elapsedLog(process.stderr);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function makeSchedules(client: KubeClient, all: Resources): Promise<void> {
  for (let index = 0; index < NAMESPACES; index += 1) {
    const name = `soak-${index}`;
    await client.request({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name } } });
    await all.claims.create(name, {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'state' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
    });
  }
  const make = (index: number) =>
    all.schedules.create(`soak-${index % NAMESPACES}`, {
      apiVersion: API_VERSION,
      kind: 'KmBackupSchedule',
      metadata: { name: `every-minute-${index}` },
      spec: {
        cron: '* * * * *',
        source: { persistentVolumeClaim: { claimName: 'state' } },
        // Nothing is pruned, for the checks.
        successfulJobsHistoryLimit: 1000,
        failedJobsHistoryLimit: 1000,
      },
    });
  for (let index = 0; index < count; index += 20) {
    await Promise.all(Array.from({ length: Math.min(20, count - index) }, (_, more) => make(index + more)));
  }
}

async function remainsOf(all: Resources, replicas: readonly Replica[]): Promise<Remains> {
  const paged = { pageSize: 500 };
  const managed = { ...paged, labelSelector: MANAGED_SELECTOR };
  const pages = await Promise.all(replicas.map((replica) => replica.metrics()));
  return {
    schedules: (await all.schedules.list(undefined, paged)).items,
    backups: (await all.backups.list(undefined, paged)).items,
    jobs: (await all.jobs.list(undefined, managed)).items,
    pods: (await all.pods.list(undefined, managed)).items,
    pages: pages.filter((page) => page !== undefined),
  };
}

/** The state once it has settled and passes, or after a time limit as it is. The clocks are stopped meanwhile. */
async function settledRemains(
  all: Resources,
  replicas: readonly Replica[],
  stoppedMs: number,
): Promise<Remains> {
  const end = Date.now() + SETTLE_MS;
  let before = '';
  let stillSince = Date.now();
  for (;;) {
    await pause(LOOK_MS);
    const remains = await remainsOf(all, replicas);
    const shape = JSON.stringify([
      remains.schedules.map(({ metadata }) => metadata.resourceVersion),
      remains.backups.map(({ metadata }) => metadata.resourceVersion),
    ]);
    if (shape !== before) stillSince = Date.now();
    const quiet =
      Date.now() - stillSince >= STILL_MS &&
      remains.pages.length === replicas.length &&
      checksOf(remains, stoppedMs).every(({ violations }) => violations.length === 0);
    before = shape;
    if (quiet || Date.now() > end) return remains;
  }
}

interface Stage {
  cluster: Cluster;
  dir: string;
  client: KubeClient;
  all: Resources;
  /** Filled as they start, so that all are ended whatever happens. */
  replicas: Replica[];
}

async function carryThrough({ cluster, dir, client, all, replicas }: Stage): Promise<Check[]> {
  const kubeconfig = cluster.kubeconfigPath;
  for (const name of ['replica-a', 'replica-b']) replicas.push(await Replica.start(name, dir, kubeconfig));
  await makeSchedules(client, all);
  const random = seeded(seed);
  const faults = await inflictFaults({ cluster, replicas, random, log }, Date.now() + minutes * MINUTE_MS);
  log('no more faults; new processes, whose clock all but stands still so that no more scheduled times come');
  // No end of a run then lies in the future, where the operator rightly would not believe it.
  const stoppedMs = Math.max(...replicas.map((replica) => replica.latestMs()));
  for (const replica of replicas) {
    replica.proxy.clear();
    replica.setClock({ stoppedMs });
    replica.kill(100);
  }
  const remains = await settledRemains(all, replicas, stoppedMs);
  const missing = FAULTS.filter((fault) => !faults.has(fault));
  const inflicted: Check = {
    name: 'every kind of fault was inflicted',
    looked: [...faults.values()].reduce((sum, times) => sum + times, 0),
    violations: missing.map((fault) => `never: ${fault}`),
  };
  const lost = replicas.reduce((sum, replica) => sum + replica.lost, 0);
  const crashed: Check = {
    name: 'no replica ended for any reason but a lost Lease',
    looked: replicas.length,
    violations: replicas.flatMap(({ crashes }) => crashes),
  };
  const missed = remains.schedules.reduce((sum, { status }) => sum + (status?.missedSlots ?? 0), 0);
  console.log(
    `${remains.backups.length} runs, ${missed} scheduled times counted as missed, replicas ended ${lost} times for a lost Lease`,
  );
  console.log(`faults: ${[...faults].map(([name, times]) => `${times} ${name}`).join(', ')}`);
  return [inflicted, crashed, ...checksOf(remains, stoppedMs)];
}

/** Rejects when the soak is signalled to stop. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.once(signal, () => reject(new Error(`interrupted by ${signal}`)));
  });
}

async function soak(): Promise<Check[]> {
  const dir = mkdtempSync(join(tmpdir(), 'km-soak-'));
  console.log(`${count} schedules a minute for ${minutes} minutes, --seed ${seed}; logs in ${dir}`);
  await clusterDown({ name: NAME, log });
  const cluster = await clusterUp({
    name: NAME,
    flavour: 'control-plane-only',
    log,
    extraArgs: { 'kube-controller-manager': ['--kube-api-qps=2000', '--kube-api-burst=4000'] },
  });
  await cluster.kubectl(['apply', '--server-side', '-f', CRDS]);
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', '-f', CRDS]);
  const kubeconfig = cluster.kubeconfigPath;
  const client = new KubeClient(await fromKubeconfig(kubeconfig), { attempts: 10 });
  const all = resources(client);
  const kubelet = await startStubKubelet(kubeconfig, { report: reportOf });
  const replicas: Replica[] = [];
  try {
    return await Promise.race([interruption(), carryThrough({ cluster, dir, client, all, replicas })]);
  } finally {
    await Promise.all(replicas.map((replica) => replica.end()));
    await kubelet.stop();
    await client.close();
    await clusterDown({ name: NAME, log });
  }
}

const SHOWN = 20;
const checks = await soak().catch((error: unknown): Check[] => {
  const violations = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
  return [{ name: 'the soak was carried through', looked: 1, violations }];
});
let failed = 0;
console.log('');
for (const { name, looked, violations } of checks) {
  const ok = looked > 0 && violations.length === 0;
  if (!ok) failed += 1;
  console.log(`${ok ? 'ok    ' : 'FAILED'}  ${name} (${looked} looked at)`);
  if (looked === 0) console.log('          there was nothing to look at');
  for (const violation of violations.slice(0, SHOWN)) console.log(`          ${violation}`);
  if (violations.length > SHOWN) console.log(`          and ${violations.length - SHOWN} more`);
}
if (report !== undefined) {
  const counts = { numPassedTests: checks.length - failed, numFailedTests: failed };
  writeFileSync(report, JSON.stringify({ ...counts, numPendingTests: 0, numTodoTests: 0 }));
}
console.log(`\n${checks.length - failed} passed, ${failed} failed`);
// Pending timers of faults must not keep the process alive.
process.exit(failed === 0 ? 0 : 1);
