import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client';
import type { RequestObserver } from '../../kube/client.ts';
import { kindOf, type OperatorObservers } from '../../operator/operator.ts';

export interface OperatorMetrics extends OperatorObservers {
  observeRequest: RequestObserver;
  watchOperator(sources: { leading: () => boolean; limiter: { running: number; waiting: number } }): void;
}

/** Label values: one for each kind of key in the work queue. */
const QUEUES = {
  KmBackupSchedule: 'schedules',
  KmBackup: 'backups',
  KmRestore: 'restores',
  KmBackupLocation: 'locations',
  Event: 'events',
} as const;
const FAST = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];

/** The operator's metrics about itself: `km_operator_*`. */
export function operatorMetrics(registry: Registry): OperatorMetrics {
  const registers = [registry];
  // The library's 10 ms would wake an idle process 100 times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  const requests = new Counter({
    name: 'km_operator_api_requests_total',
    help: 'Requests to the API server by method and status. Status 0: no answer came.',
    labelNames: ['method', 'status'],
    registers,
  });
  const lists = new Counter({
    name: 'km_operator_lists_total',
    help: 'Full lists by resource and reason.',
    labelNames: ['resource', 'reason'],
    registers,
  });
  const restarts = new Counter({
    name: 'km_operator_watch_restarts_total',
    help: 'Watches that ended and were opened again, by resource and reason.',
    labelNames: ['resource', 'reason'],
    registers,
  });
  const depth = new Gauge({
    name: 'km_operator_queue_depth',
    help: 'Keys in the work queue that wait for a worker.',
    labelNames: ['queue'],
    registers,
  });
  const retries = new Counter({
    name: 'km_operator_queue_retries_total',
    help: 'Keys put back into the work queue after an error.',
    labelNames: ['queue'],
    registers,
  });
  const latency = new Histogram({
    name: 'km_operator_queue_latency_seconds',
    help: 'How long a key waited for a worker.',
    labelNames: ['queue'],
    buckets: FAST,
    registers,
  });
  const work = new Histogram({
    name: 'km_operator_reconcile_duration_seconds',
    help: 'How long a reconcile took.',
    labelNames: ['queue'],
    buckets: FAST,
    registers,
  });
  const errors = new Counter({
    name: 'km_operator_reconcile_errors_total',
    help: 'Reconciles that failed. Each is tried again.',
    labelNames: ['kind'],
    registers,
  });
  const lag = new Histogram({
    name: 'km_operator_dispatch_lag_seconds',
    help: 'Seconds from the scheduled time of a run to the creation of its Job.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
    registers,
  });

  return {
    observeRequest: ({ method, status }) => requests.inc({ method, status: String(status) }),
    reflector: {
      onList: (resource, reason) => lists.inc({ resource, reason }),
      onWatchRestart: (resource, reason) => restarts.inc({ resource, reason }),
    },
    queue: {
      onWaiting: (key, change) => depth.inc({ queue: QUEUES[kindOf(key)] }, change),
      onLatency: (key, seconds) => latency.observe({ queue: QUEUES[kindOf(key)] }, seconds),
      onWork: (key, seconds) => work.observe({ queue: QUEUES[kindOf(key)] }, seconds),
      onRetry: (key) => retries.inc({ queue: QUEUES[kindOf(key)] }),
    },
    observeDispatchLag: (seconds) => lag.observe(seconds),
    observeReconcileError: (kind) => errors.inc({ kind }),
    watchOperator({ leading, limiter }) {
      const gauge = (name: string, help: string, value: () => number) =>
        new Gauge({
          name,
          help,
          registers,
          collect() {
            this.set(value());
          },
        });
      gauge('km_operator_leader', '1 while this replica leads.', () => Number(leading()));
      gauge(
        'km_operator_active_runs',
        'Runs that count toward the concurrency limit.',
        () => limiter.running,
      );
      gauge(
        'km_operator_waiting_runs',
        'Runs that wait because the concurrency limit is reached.',
        () => limiter.waiting,
      );
    },
  };
}
