/** `kubectl km status` of many schedules, beside `kubectl get`. */
import path from 'node:path';
import type { Log } from '../../test/cluster/index.ts';
import { type Measured, measure, summarize } from '../measure.ts';
import { putObjects, withControlPlane } from '../operator/control-plane.ts';
import {
  finishedRuns,
  makeNamespaces,
  schedules,
  settledSchedules,
  withStatus,
} from '../operator/population.ts';
import type { Result } from './report.ts';

const PLUGIN = path.join(import.meta.dirname, '../../bin/kubectl-km');
/** Finished runs of each schedule. */
const RUNS = 7;
/** The last run of this many schedules failed. */
const FAILED = 20;

export async function measureSchedules(
  options: { readonly schedules: number; readonly repetitions: number },
  log: Log,
): Promise<Omit<Result, 'at' | 'machine'>> {
  const wanted = schedules(options.schedules, 'volume', 'H 2 * * *');
  return withControlPlane('shipped', { log, name: 'km-bench-tools' }, async (plane) => {
    log('filling the cluster');
    await makeNamespaces(plane, wanted);
    const owners = await settledSchedules(plane, wanted);
    const runs = [...finishedRuns(owners, RUNS)].map((run, at) =>
      at % RUNS === RUNS - 1 && at < FAILED * RUNS ? failed(run) : run,
    );
    const runsOf = Map.groupBy(runs, ({ metadata, spec }) => `${metadata.namespace}/${spec.scheduleName}`);
    await putObjects(plane, 'kmbackups', runs);
    await putObjects(
      plane,
      'kmbackupschedules',
      owners.map((owner) =>
        withStatus(owner, runsOf.get(`${owner.metadata.namespace}/${owner.metadata.name}`) ?? []),
      ),
    );
    const env = { ...process.env, KUBECONFIG: plane.cluster.kubeconfigPath };
    const { kubectl } = plane.cluster.programs;
    const contenders = [
      ['status of all', 'kubectl km', [PLUGIN, 'status', '-A']],
      ['status of all', 'kubectl get', [kubectl, 'get', 'kmbs', '-A']],
      ['status as JSON', 'kubectl km', [PLUGIN, 'status', '-A', '-o', 'json']],
      ['status as JSON', 'kubectl get', [kubectl, 'get', 'kmbs', '-A', '-o', 'json']],
      ['status of one namespace', 'kubectl km', [PLUGIN, 'status', '-n', wanted[0]!.namespace]],
      ['status of one namespace', 'kubectl get', [kubectl, 'get', 'kmbs', '-n', wanted[0]!.namespace]],
      ['coverage of all', 'kubectl km', [PLUGIN, 'coverage', '-A']],
    ] as const;
    const measured = new Map(contenders.map((contender) => [contender, [] as Measured[]]));
    for (let turn = 0; turn < options.repetitions; turn++)
      for (const contender of contenders) measured.get(contender)!.push(measure(contender[2], { env }));
    return {
      title: `A cluster of ${wanted.length.toLocaleString('en')} schedules`,
      about: `${wanted.length / 100} namespaces, ${RUNS} finished runs of each schedule; the last run of ${FAILED} failed. The API server runs on the same machine.`,
      rows: [...measured].map(([[work, program], list]) => ({ work, program, ...summarize(list) })),
    };
  });
}

type Run = ReturnType<typeof finishedRuns> extends Generator<infer R> ? R : never;

function failed(run: Run): Run {
  const { archive: _archive, ...status } = run.status!;
  return { ...run, status: { ...status, phase: 'Failed', reason: 'NoSpace', message: 'no space left' } };
}
