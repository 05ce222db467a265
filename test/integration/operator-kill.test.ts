import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { MANAGED_SELECTOR } from '../../src/api/names.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import type { KubeObject } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';
import type { Job } from '../../src/operator/workloads.ts';
import { proxyOf } from '../faultproxy/index.ts';
import { quiet } from '../support/kube.ts';
import { eventually } from '../support/kubectl.ts';
import { spawnOperator } from '../support/operator-process.ts';
import { startStubKubelet } from '../support/stub-kubelet.ts';

const API = { apiVersion: 'km.duskmantle.io/v1alpha1' };
const MINUTE_MS = 60_000;
/** Runs of this length after the slot must be over before the next one is due. */
const AFTER_SLOT_MS = 1_000;
const PARALLEL = 4;

let kubeconfig: string;
let client: KubeClient;
let all: Resources;
let scratch: string;
const jobsEverMade = new Map<string, Set<string>>();
const watching = new AbortController();
let watched: Promise<void>;

beforeAll(async () => {
  kubeconfig = inject('kubeconfig');
  client = new KubeClient(await fromKubeconfig(kubeconfig));
  all = resources(client);
  scratch = await mkdtemp(join(tmpdir(), 'km-kill-'));
  const reflector = new Reflector({
    resource: all.jobs,
    store: new Store<Job>(),
    labelSelector: MANAGED_SELECTOR,
    logger: quiet,
    onEvent: ({ type, object }) => {
      const { namespace, uid } = object.metadata;
      if (type === 'added') jobsEverMade.set(namespace, (jobsEverMade.get(namespace) ?? new Set()).add(uid));
    },
  });
  watched = reflector.run(watching.signal);
  await reflector.synced;
});

afterAll(async () => {
  watching.abort();
  await watched;
  await client.close();
  await rm(scratch, { recursive: true, force: true });
});

interface Slot {
  namespace: string;
  /** What the operator's clock is ahead of the system's. */
  offsetMs: number;
}

/** A schedule whose first slot has just passed on a clock that is `offsetMs` ahead. */
async function dueSchedule(): Promise<Slot> {
  const made = await client.request<KubeObject>({
    method: 'POST',
    path: '/api/v1/namespaces',
    body: { metadata: { generateName: 'km-kill-' } },
  });
  const namespace = made.metadata.name;
  await all.claims.create(namespace, {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'state' },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  });
  const schedule = await all.schedules.create(namespace, {
    ...API,
    kind: 'KmBackupSchedule',
    metadata: { name: 'notes' },
    // Far enough apart that no second slot comes while a test runs.
    spec: { intervalMinutes: 10, source: { persistentVolumeClaim: { claimName: 'state' } } },
  });
  const slotMs = Date.parse(schedule.metadata.creationTimestamp) + 10 * MINUTE_MS;
  return { namespace, offsetMs: slotMs + AFTER_SLOT_MS - Date.now() };
}

function startOperator({ namespace, offsetMs }: Slot, kubeconfig: string): ChildProcess {
  const operator = spawnOperator({ kubeconfig, namespace, offsetMs });
  operator.stderr?.pipe(process.stderr);
  return operator;
}

async function settled(namespace: string) {
  return eventually(
    () => all.schedules.get(namespace, 'notes'),
    ({ status }) => status?.runs?.succeeded === 1 && status.active?.length === 0,
    (last) => `the run to be recorded: ${JSON.stringify(last?.status)}`,
    60_000,
  );
}

async function expectOneRun(namespace: string): Promise<void> {
  const { status } = await settled(namespace);
  expect(status).toMatchObject({
    runs: { succeeded: 1, failed: 0, incomplete: 0, skipped: 0 },
    missedSlots: 0,
  });
  const backups = (await all.backups.list(namespace)).items;
  expect(backups.map((backup) => backup.status?.phase)).toEqual(['Succeeded']);
  expect(jobsEverMade.get(namespace)?.size).toBe(1);
}

/** Runs one slot through; kills the operator at its n-th write, then starts it again. Gives the writes seen. */
async function runSlot(kill: { write: number; when: 'before' | 'after' } | undefined): Promise<number> {
  const slot = await dueSchedule();
  const proxy = await proxyOf(kubeconfig);
  // Other files' pods are none of its business.
  const kubelet = await startStubKubelet(kubeconfig, undefined, slot.namespace);
  let operator: ChildProcess | undefined;
  try {
    const file = join(scratch, `${slot.namespace}.kubeconfig`);
    await writeFile(file, proxy.kubeconfig(), { mode: 0o600 });
    let writes = 0;
    let killed = false;
    proxy.onWrite(async ({ phase }) => {
      if (phase === 'before') writes += 1;
      if (killed || kill === undefined || writes !== kill.write || phase !== kill.when) return;
      killed = true;
      operator?.kill('SIGKILL');
      if (operator) await once(operator, 'exit');
    });
    operator = startOperator(slot, file);
    if (kill) {
      // Events are written beside the run, so that the last writes may come after its end, or not at all.
      await Promise.race([once(operator, 'exit'), settled(slot.namespace)]);
      if (killed) operator = startOperator(slot, file);
    }
    await expectOneRun(slot.namespace);
    return writes;
  } finally {
    operator?.kill('SIGKILL');
    await proxy.close();
    await kubelet.stop();
    await client.request({ method: 'DELETE', path: `/api/v1/namespaces/${slot.namespace}` });
  }
}

describe('an operator killed at a write', () => {
  it('makes one Job for the slot, whichever write it was, whether or not it was carried out', async () => {
    const writes = await runSlot(undefined);
    // The run, its Job, their statuses and Events.
    expect(writes).toBeGreaterThanOrEqual(8);
    const kills = Array.from({ length: writes }, (_, index) => index + 1).flatMap((write) =>
      (['before', 'after'] as const).map((when) => ({ write, when })),
    );
    const failures: string[] = [];
    const worker = async () => {
      for (let kill = kills.shift(); kill; kill = kills.shift()) {
        const { write, when } = kill;
        await runSlot(kill).catch((error) => failures.push(`killed ${when} write ${write}: ${error}`));
      }
    };
    await Promise.all(Array.from({ length: PARALLEL }, worker));
    expect(failures).toEqual([]);
  }, 600_000);
});
