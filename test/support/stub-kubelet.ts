import type { CheckResult, CopyResult } from '../../src/api/location-result.ts';
import { LABELS, MANAGED_SELECTOR } from '../../src/api/names.ts';
import type { RestoreResult } from '../../src/api/restore-result.ts';
import type { RunResult } from '../../src/api/run-result.ts';
import { sleep, systemClock } from '../../src/clock/index.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { isNotFound } from '../../src/kube/errors.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import { resource } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';

export interface Pod extends KubeObject {
  metadata: KubeObject['metadata'] & { namespace: string };
  spec: { initContainers?: object[]; containers: { args?: string[] }[] };
  status?: { phase?: string };
}

/** The report with which a run's pod ends. */
export interface StubReport {
  exitCode: number;
  result?: RunResult | RestoreResult | CopyResult | CheckResult;
  /** What the script after a restore says when it fails; absent: it succeeds. */
  script?: string;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** A report as km-backup writes it after a clean run. */
export function cleanResult(archive: string): RunResult {
  const now = new Date().toISOString();
  return {
    version: 1,
    outcome: 'Succeeded',
    reason: 'ArchiveVerified',
    message: `${archive} was written and verified.`,
    startedAt: now,
    finishedAt: now,
    archive: {
      name: archive,
      path: `/destination/${archive}`,
      sizeBytes: 1,
      sha256: '0'.repeat(64),
      manifestSha256: '0'.repeat(64),
      entries: 1,
      files: 1,
      sourceBytes: 1,
      reusedBytes: 0,
    },
    warnings: { count: 0, samples: [] },
    pruned: { count: 0, failed: 0, names: [] },
    present: { count: 1, bytes: 1, names: [archive] },
  };
}

/** Reports that fit a termination message name this many archives at most. */
const MAX_NAMES = 60;

/** Clean runs that remove no archive: each report also names those of earlier runs of the schedule. */
function growingStock(): (pod: Pod) => StubReport {
  const stocks = new Map<string, string[]>();
  return (pod) => {
    const archive = `km-backup-${pod.metadata.uid.slice(0, 8)}.tgz`;
    const series = pod.metadata.labels?.[LABELS.scheduleUid] ?? '';
    const names = [archive, ...(stocks.get(series) ?? [])];
    stocks.set(series, names);
    const present = { count: names.length, bytes: names.length, names: names.slice(0, MAX_NAMES) };
    return { exitCode: 0, result: { ...cleanResult(archive), present } };
  };
}

export interface StubKubeletOptions {
  /** Undefined: the pod never starts. Default: clean runs that remove no archive. */
  report?: ((pod: Pod) => StubReport | undefined | Promise<StubReport | undefined>) | undefined;
  /** All when absent. */
  namespace?: string;
  /** How long a pod takes to start and then runs, in milliseconds. Absent: it ends at once without ever running. */
  takes?: { startMs: number; runMs: number };
}

/**
 * Replaces the kubelet on a control plane without nodes: every pod of a run ends with the given report. Everything else
 * (Job controller, API server) is real.
 */
export async function startStubKubelet(
  kubeconfig: string,
  { report = growingStock(), namespace, takes }: StubKubeletOptions = {},
): Promise<{ stop: () => Promise<void> }> {
  const client = new KubeClient(await fromKubeconfig(kubeconfig), { userAgent: 'stub-kubelet' });
  const pods = resource<Pod>(client, {
    group: '',
    version: 'v1',
    plural: 'pods',
    kind: 'Pod',
    namespaced: true,
  });
  const stop = new AbortController();
  const write = ({ metadata }: Pod, status: { phase: string; startTime: string }, state: object) => {
    const ready = status.phase === 'Running';
    const container = { name: 'km-backup', image: 'stub', imageID: 'stub', restartCount: 0, ready, state };
    const body = { status: { ...status, containerStatuses: [container] } };
    return pods.mergePatch(metadata.namespace, metadata.name, body, 'status');
  };
  /** The pod of a restore whose script runs after it. */
  const writeScripted = (
    { metadata }: Pod,
    status: { phase: string; startTime: string },
    terminated: { exitCode: number },
    script: string | undefined,
  ) => {
    const common = { image: 'stub', imageID: 'stub', restartCount: 0, ready: false };
    const ended = {
      exitCode: script === undefined ? 0 : 1,
      reason: 'Ended',
      ...(script !== undefined && { message: script }),
    };
    const body = {
      status: {
        ...status,
        initContainerStatuses: [{ ...common, name: 'km-backup', state: { terminated } }],
        containerStatuses:
          terminated.exitCode === 0 ? [{ ...common, name: 'script', state: { terminated: ended } }] : [],
      },
    };
    return pods.mergePatch(metadata.namespace, metadata.name, body, 'status');
  };
  const live = async (pod: Pod) => {
    if (takes) await sleep(systemClock, takes.startMs, stop.signal);
    const startTime = new Date().toISOString();
    if (takes) {
      const conditions = [{ type: 'Ready', status: 'True' }];
      const running = { phase: 'Running', startTime, conditions };
      await surely(() => write(pod, running, { running: { startedAt: startTime } }));
      await sleep(systemClock, takes.runMs, stop.signal);
    }
    const reported = await report(pod);
    if (!reported) return;
    const { exitCode, result } = reported;
    const terminated = {
      exitCode,
      startedAt: startTime,
      finishedAt: new Date().toISOString(),
      reason: exitCode === 0 ? 'Completed' : 'Error',
      ...(result && { message: JSON.stringify(result) }),
    };
    const phase = exitCode === 0 && reported.script === undefined ? 'Succeeded' : 'Failed';
    if (pod.spec.initContainers) {
      await surely(() => writeScripted(pod, { phase, startTime }, terminated, reported.script));
      return;
    }
    await surely(() => write(pod, { phase, startTime }, { terminated }));
  };
  const surely = async (act: () => Promise<unknown>) => {
    while (!stop.signal.aborted) {
      try {
        await act();
        return;
      } catch (error) {
        // The pod may have been deleted, and the API server may be away for a while.
        if (isNotFound(error)) return;
        await sleep(systemClock, 500, stop.signal);
      }
    }
  };
  const reflector = new Reflector<Pod>({
    resource: pods,
    store: new Store<Pod>({
      onChange: ({ type, object }) => {
        if (type === 'added' && (object.status?.phase ?? 'Pending') === 'Pending') void live(object);
      },
    }),
    namespace,
    labelSelector: MANAGED_SELECTOR,
    logger: quiet,
  });
  const running = reflector.run(stop.signal);
  await reflector.synced;
  return {
    stop: async () => {
      stop.abort();
      await running;
      await client.close();
    },
  };
}
