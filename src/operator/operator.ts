import type { ObjectMeta } from '../api/metadata.ts';
import type { BackupReason } from '../api/reasons.ts';
import { type Clock, sleep } from '../clock/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { isConflict, isNotFound, KubeError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeLogger, ReflectorMetrics } from '../kube/reflector.ts';
import { keyOf } from '../kube/store.ts';
import { WorkQueue, type WorkQueueMetrics } from '../kube/workqueue.ts';
import { type Applier, createApplier, NameTakenError } from './apply.ts';
import { decideBackup, decideRefused } from './backup/decide.ts';
import type { JobSettings } from './backup/job.ts';
import { observeBackup } from './backup/observe.ts';
import { type PodsOnNodes, podsOnNodes } from './backup/pods-on-nodes.ts';
import { decideSchedule } from './backupschedule/decide.ts';
import { observeSchedule } from './backupschedule/observe.ts';
import { Cache, scheduleKey } from './cache.ts';
import { ConcurrencyLimiter, type ConcurrencyLimits } from './concurrency-limiter.ts';
import type { Plan } from './plan.ts';
import { type Resources, resources } from './resources.ts';
import { Rush } from './rush.ts';
import { fromTime } from './time.ts';

/** What changes in one run within this time costs its schedule one write, and the Jobs of a busy minute go first. */
const RUNS_SETTLE_MS = 1_000;
/** A Job and its pod change several times within moments of their start and end. */
const JOB_SETTLE_MS = 1_000;
const CLOCK_CHECK_MS = 5_000;
const CLOCK_JUMP_MS = 500;

export interface OperatorOptions {
  client: KubeClient;
  /** Empty: all namespaces. */
  namespaces: readonly string[];
  jobs: JobSettings;
  limits: ConcurrencyLimits;
  /** Reconciles at once, of each kind. */
  workers: number;
  clock: Clock;
  logger: KubeLogger;
  events: EventRecorder;
  /** Throws when this process may no longer lead. */
  assertLeading: () => void;
  /** Told of every schedule that changed or went, for metrics. */
  onSchedule?: (key: string) => void;
  metrics?: OperatorObservers;
}

export interface OperatorObservers {
  queue?: (name: string) => WorkQueueMetrics;
  reflector?: ReflectorMetrics;
  /** From a slot to the creation of its Job, in seconds. */
  observeDispatchLag?: (seconds: number) => void;
  observeReconcileError?: (kind: string) => void;
}

/**
 * Watches schedules, runs, Jobs and pods, and brings the cluster to what they ask for. Level-based: every
 * reconcile starts from what is observed, so that a missed event, a restart or a second leader changes nothing.
 */
export class Operator {
  readonly view: Cache;
  readonly slots: ConcurrencyLimiter;
  readonly #options: OperatorOptions;
  readonly #schedules: WorkQueue;
  readonly #backups: WorkQueue;
  readonly #resources: Resources;
  readonly #applier: Applier;
  readonly #podsOnNodes: PodsOnNodes;
  readonly #rush: Rush;
  /** Objects whose status this process wrote, until the watch shows them so. */
  readonly #written = new Map<string, Written>();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { clock, client, namespaces, logger, metrics, events, assertLeading } = options;
    this.#resources = resources(client);
    this.#podsOnNodes = podsOnNodes(this.#resources.pods, clock);
    this.#rush = new Rush(Math.ceil(options.workers / 2), clock);
    this.#applier = createApplier({
      resources: this.#resources,
      recordEvent: (event) => {
        const write = () => events.emit(event);
        const key = `event ${event.regarding.uid} ${event.reason} ${event.note}`;
        if (!this.#rush.defer(key, write)) write();
      },
      assertLeading,
      onBackupMade: (backup) => {
        this.view.madeBackup(backup);
        this.#rush.start(keyOf(backup));
        this.#backups.add(keyOf(backup));
        this.#schedules.addAfter(scheduleKey(backup), RUNS_SETTLE_MS);
      },
      onJobMade: (job) => {
        this.view.madeJob(job);
        const owner = job.metadata.ownerReferences?.find((candidate) => candidate.controller);
        if (owner) this.#backups.addAfter(`${job.metadata.namespace}/${owner.name}`, JOB_SETTLE_MS);
      },
      onWritten: (kind, { metadata }) => {
        this.#written.set(`${kind} ${keyOf({ metadata })}`, metadata);
        this.view.wrote(kind, metadata);
      },
    });
    const queue = (name: string, onIdle = () => {}) =>
      new WorkQueue({ clock, onIdle, ...(metrics?.queue && { metrics: metrics.queue(name) }) });
    this.#schedules = queue('schedules', () => this.#rush.recorded());
    this.#backups = queue('backups');
    this.slots = new ConcurrencyLimiter(options.limits, (key) => this.#backups.add(key));
    this.view = new Cache(
      {
        resources: this.#resources,
        namespaces,
        logger,
        clock,
        ...(metrics?.reflector && { metrics: metrics.reflector }),
      },
      {
        schedule: (key) => {
          this.#schedules.add(key);
          options.onSchedule?.(key);
        },
        runs: (key) => this.#schedules.addAfter(key, RUNS_SETTLE_MS),
        job: (key) => this.#backups.addAfter(key, JOB_SETTLE_MS),
        backup: (key) => this.#backups.add(key),
      },
    );
  }

  /** Looks at every schedule and unfinished run anew. */
  resync(): void {
    for (const key of this.view.schedules.keys()) this.#schedules.add(key);
    for (const backup of this.view.unfinishedRuns()) this.#backups.add(keyOf(backup));
  }

  /** Keeps the view current until the signal, leader or not. */
  watch(signal: AbortSignal): Promise<void> {
    return this.view.run(signal);
  }

  /** Reconciles until the signal; to be called only while leading. */
  async reconcile(signal: AbortSignal): Promise<void> {
    await this.view.synced();
    for (const backup of this.view.unfinishedRuns())
      if (this.view.jobOf(backup)) this.slots.hold(keyOf(backup), backup.metadata.namespace);
    const { workers: concurrency, logger, metrics } = this.#options;
    const run = (queue: WorkQueue, kind: string, reconcile: (key: string) => Promise<void>) =>
      queue.run({
        concurrency,
        signal,
        process: async (key) => {
          try {
            await reconcile(key);
            queue.forget(key);
          } catch (error) {
            if (signal.aborted) return;
            // A conflict says only that the view is behind: the watch brings the news.
            if (!isConflict(error)) {
              metrics?.observeReconcileError?.(kind);
              logger.warn({ kind, key, error: String(error) }, 'reconcile failed; trying again');
            }
            queue.addRateLimited(key);
          }
        },
      });
    await Promise.all([
      this.#watchClock(signal),
      run(this.#schedules, 'KmBackupSchedule', (key) => this.#reconcileSchedule(key)),
      run(this.#backups, 'KmBackup', (key) => this.#reconcileBackup(key)),
    ]);
  }

  /** Timers run on the monotonic clock; when the wall clock is set, all is looked at anew. */
  async #watchClock(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const offset = () => clock.now() - clock.monotonic();
    for (let known = offset(); !signal.aborted; ) {
      await sleep(clock, CLOCK_CHECK_MS, signal);
      const jumpMs = offset() - known;
      if (Math.abs(jumpMs) < CLOCK_JUMP_MS) continue;
      known = offset();
      logger.warn({ jumpMs }, 'the clock was set; looking at everything anew');
      this.resync();
    }
  }

  #requeue(queue: WorkQueue, key: string, plan: Plan): void {
    if (plan.requeueAtMs !== undefined)
      queue.addAfter(key, Math.max(0, plan.requeueAtMs - this.#options.clock.now()));
  }

  /** Whether the view has yet to see what this process wrote last: a decision now would only be refused. */
  #isBehind(kind: string, key: string, seen: { metadata: Written } | undefined): boolean {
    const id = `${kind} ${key}`;
    const written = this.#written.get(id);
    if (!written) return false;
    if (seen?.metadata.uid === written.uid && isOlder(seen.metadata.resourceVersion, written.resourceVersion))
      return true;
    this.#written.delete(id);
    return false;
  }

  async #reconcileSchedule(key: string): Promise<void> {
    const observed = observeSchedule(key, this.view, this.#options.jobs);
    if (this.#isBehind('KmBackupSchedule', key, observed?.schedule)) return;
    if (!observed) return;
    const plan = decideSchedule(observed, this.#options.clock.now());
    this.#requeue(this.#schedules, key, plan);
    if (plan.mayWait && this.#rush.defer(`schedule ${key}`, () => this.#schedules.add(key))) return;
    await this.#applier.apply(plan);
  }

  async #reconcileBackup(key: string): Promise<void> {
    if (!this.#schedules.idle && this.#rush.hold(key, () => this.#backups.add(key))) return;
    try {
      await this.#bringForward(key);
    } finally {
      // Whether it has its Job now or must wait for something: nobody need wait for it any longer.
      this.#rush.end(key);
    }
  }

  async #bringForward(key: string): Promise<void> {
    const backup = this.view.backups.get(key);
    if (this.#isBehind('KmBackup', key, backup)) return;
    if (!backup) {
      this.slots.release(key, key.slice(0, key.indexOf('/')));
      return;
    }
    const { clock, jobs, metrics } = this.#options;
    const observed = await observeBackup(
      backup,
      this.view,
      this.#resources,
      this.slots,
      this.#podsOnNodes,
      clock.now(),
    );
    const plan = decideBackup(observed, jobs, clock.now());
    this.#requeue(this.#backups, key, plan);
    if (plan.mayWait && this.#rush.defer(`backup ${key}`, () => this.#backups.add(key))) return;
    try {
      await this.#applier.apply(plan);
      const slot = backup.spec.scheduledTime;
      if (slot !== undefined && plan.steps.some((step) => step.kind === 'createJob')) {
        metrics?.observeDispatchLag?.((clock.now() - fromTime(slot)) / 1000);
      }
    } catch (error) {
      const refusal = refusalOf(error);
      if (!refusal) throw error;
      const current = await this.#resources.backups.get(backup.metadata.namespace, backup.metadata.name);
      const { plan: refused, final } = decideRefused({ ...observed, backup: current }, refusal, clock.now());
      await this.#applier.apply(refused);
      // Other runs may be accepted meanwhile.
      this.slots.release(key, backup.metadata.namespace);
      if (!final) throw error;
    }
  }
}

type Written = Pick<ObjectMeta, 'uid' | 'resourceVersion'>;

/** Versions of one kind are ordered numbers; what is no number is never called older. */
function isOlder(version: string, than: string): boolean {
  const number = /^\d+$/;
  return number.test(version) && number.test(than) && BigInt(version) < BigInt(than);
}

/** An answer of the API server that only a person can change: quota, admission, a name that is taken. */
function refusalOf(error: unknown): { reason: BackupReason; message: string } | undefined {
  if (error instanceof NameTakenError) return { reason: 'NameTaken', message: error.message };
  if (error instanceof KubeError && (error.status === 403 || error.status === 422) && !isNotFound(error)) {
    return { reason: error.reason === 'Forbidden' ? 'JobForbidden' : 'JobInvalid', message: error.message };
  }
  return undefined;
}
