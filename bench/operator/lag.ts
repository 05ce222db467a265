import { Reflector } from '../../src/kube/reflector.ts';
import { Store } from '../../src/kube/store.ts';
import type { Job } from '../../src/operator/workloads.ts';
import type { ControlPlane } from './control-plane.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const MINUTE_MS = 60_000;

/** Milliseconds from a scheduled time to each Job, as a separate watch sees it. */
export interface Lag {
  jobs: number;
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN;
}

export function lagOf(lagsMs: readonly number[]): Lag {
  const sorted = [...lagsMs].sort((a, b) => a - b);
  return {
    jobs: sorted.length,
    p50Ms: Math.round(quantile(sorted, 0.5)),
    p99Ms: Math.round(quantile(sorted, 0.99)),
    maxMs: Math.round(sorted.at(-1) ?? Number.NaN),
  };
}

/** The start of the first minute that is at least this far away. */
export function minuteAfter(leadMs: number): number {
  return Math.ceil((Date.now() + leadMs) / MINUTE_MS) * MINUTE_MS;
}

/** Five cron fields that name this minute of today, in UTC. */
export function cronAt(slotMs: number): string {
  const at = new Date(slotMs);
  return `${at.getUTCMinutes()} ${at.getUTCHours()} ${at.getUTCDate()} ${at.getUTCMonth() + 1} *`;
}

export interface JobWatch {
  /** When each new Job was seen, epoch ms. */
  readonly seen: number[];
  /** Waits until `count` Jobs were seen, or the time is over. */
  until(count: number, deadlineMs: number): Promise<void>;
  stop(): Promise<void>;
}

/** Watches Jobs from now on. Creation times of objects are in whole seconds; a watch notices within milliseconds. */
export async function watchJobs(
  plane: ControlPlane,
  onJob: (job: Job) => void = () => {},
): Promise<JobWatch> {
  const seen: number[] = [];
  const stop = new AbortController();
  let live = false;
  const reflector = new Reflector<Job>({
    resource: plane.all.jobs,
    store: new Store<Job>({
      // Only the name is used: keep no more.
      trim: (job) => ({ metadata: job.metadata, spec: {} }) as Job,
      onChange: ({ type, object }) => {
        if (!live || type !== 'added') return;
        seen.push(Date.now());
        onJob(object);
      },
    }),
    namespace: undefined,
    logger: quiet,
  });
  const running = reflector.run(stop.signal);
  await reflector.synced;
  live = true;
  return {
    seen,
    async until(count, deadlineMs) {
      while (seen.length < count && Date.now() < deadlineMs)
        await new Promise((resolve) => setTimeout(resolve, 100));
    },
    async stop() {
      stop.abort();
      await running;
    },
  };
}
