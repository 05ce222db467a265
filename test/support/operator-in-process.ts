import { type Clock, systemClock } from '../../src/clock/index.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { EventRecorder } from '../../src/kube/events.ts';
import type { ConcurrencyLimits } from '../../src/operator/concurrency-limiter.ts';
import { Operator } from '../../src/operator/operator.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** The system's clock with an offset that a test can set. */
export class ShiftedClock implements Clock {
  offsetMs = 0;
  now = () => Date.now() + this.offsetMs;
  monotonic = systemClock.monotonic;
  after = systemClock.after;
}

export interface RunningOperator {
  readonly operator: Operator;
  readonly resources: Resources;
  stop(): Promise<void>;
}

/** An operator for one namespace, in this process, that believes it leads. */
export async function startOperator(options: {
  kubeconfig: string;
  namespace: string;
  clock?: Clock;
  limits?: ConcurrencyLimits;
  allowScripts?: boolean;
  elevatedNamespaces?: readonly string[];
}): Promise<RunningOperator> {
  const clock = options.clock ?? systemClock;
  const client = new KubeClient(await fromKubeconfig(options.kubeconfig));
  const events = new EventRecorder({
    client,
    reportingController: 'km.duskmantle.io/km-backup-operator',
    reportingInstance: 'test',
    logger: quiet,
    clock,
  });
  const operator = new Operator({
    client,
    namespaces: [options.namespace],
    jobs: {
      image: 'km-backup:test',
      imagePullPolicy: 'IfNotPresent',
      allowScripts: options.allowScripts ?? false,
      stepImages: [],
      elevatedNamespaces: options.elevatedNamespaces ?? [],
    },
    limits: options.limits ?? { total: 20, perNamespace: 20 },
    workers: 4,
    clock,
    logger: quiet,
    events,
    assertLeading: () => {},
  });
  const stop = new AbortController();
  const running = Promise.all([operator.watch(stop.signal), operator.reconcile(stop.signal)]);
  await operator.cache.synced();
  return {
    operator,
    resources: resources(client),
    async stop() {
      stop.abort();
      await running;
      await events.flush();
      await client.close();
    },
  };
}
