import { LABELS, MANAGED_SELECTOR } from '../../src/api/names.ts';
import type { RunResult } from '../../src/api/run-result.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { sleep, systemClock } from '../../src/kube/clock.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { isNotFound } from '../../src/kube/errors.ts';
import { Reflector } from '../../src/kube/reflector.ts';
import { type KubeObject, resource } from '../../src/kube/resources.ts';
import { Store } from '../../src/kube/store.ts';

interface Pod extends KubeObject {
  metadata: KubeObject['metadata'] & { namespace: string };
  spec: { containers: { args?: string[] }[] };
  status?: { phase?: string };
}

/** What a pod of a run reports when it ends. */
export interface StubReport {
  exitCode: number;
  result?: RunResult;
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

/** Clean runs whose archives all stay: each report names those of the schedule's earlier runs too. */
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

/**
 * Stands in for the kubelet where there is only a control plane: every pod of a run ends at once with the
 * report given, in one namespace or in all. Everything else (Job controller, API server) is real.
 */
export async function startStubKubelet(
  kubeconfig: string,
  report: (pod: Pod) => StubReport = growingStock(),
  namespace?: string,
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
  const finish = async (pod: Pod) => {
    const { exitCode, result } = report(pod);
    const at = new Date().toISOString();
    await pods.mergePatch(
      pod.metadata.namespace,
      pod.metadata.name,
      {
        status: {
          phase: exitCode === 0 ? 'Succeeded' : 'Failed',
          startTime: at,
          containerStatuses: [
            {
              name: 'km-backup',
              image: 'stub',
              imageID: 'stub',
              ready: false,
              restartCount: 0,
              state: {
                terminated: {
                  exitCode,
                  startedAt: at,
                  finishedAt: at,
                  reason: exitCode === 0 ? 'Completed' : 'Error',
                  ...(result && { message: JSON.stringify(result) }),
                },
              },
            },
          ],
        },
      },
      'status',
    );
  };
  const finishSurely = async (pod: Pod) => {
    while (!stop.signal.aborted) {
      try {
        return await finish(pod);
      } catch (error) {
        // A pod deleted meanwhile needs no end; an API server that is away comes back.
        if (isNotFound(error)) return;
        await sleep(systemClock, 500, stop.signal);
      }
    }
  };
  const reflector = new Reflector<Pod>({
    resource: pods,
    store: new Store<Pod>(),
    namespace,
    labelSelector: MANAGED_SELECTOR,
    logger: quiet,
    onEvent: ({ type, object }) => {
      if (type === 'added' && (object.status?.phase ?? 'Pending') === 'Pending') void finishSurely(object);
    },
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
