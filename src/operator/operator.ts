import type { KmBackup } from '../api/backup.ts';
import { ANNOTATIONS } from '../api/names.ts';
import { type Clock, sleep } from '../clock/index.ts';
import type { KubeClient } from '../kube/client.ts';
import { isConflict } from '../kube/errors.ts';
import type { EventDetails, EventRecorder } from '../kube/events.ts';
import { keyOf } from '../kube/object.ts';
import type { KubeLogger, ReflectorMetrics } from '../kube/reflector.ts';
import { WorkQueue, type WorkQueueMetrics } from '../kube/workqueue.ts';
import { type Applier, createApplier, StepRefusedError } from './apply.ts';
import { decideBackup, decideRefused } from './backup/decide.ts';
import { observeBackup } from './backup/observe.ts';
import { type PodsOnNodes, podsOnNodes } from './backup/pods-on-nodes.ts';
import { decideSchedule, decideScheduleRefused } from './backupschedule/decide.ts';
import { observeSchedule } from './backupschedule/observe.ts';
import { Cache } from './cache.ts';
import { ConcurrencyLimiter, type ConcurrencyLimits } from './concurrency-limiter.ts';
import { decideCopies, decideCopyRefused } from './location/decide-copies.ts';
import { decideLocation, decideLocationRefused } from './location/decide-location.ts';
import { type Observing, observeCopies, observeLocation } from './location/observe.ts';
import type { Plan } from './plan.ts';
import { refusalOfJob, refusalOfRestore, refusalOfSchedule } from './refusal.ts';
import { type Resources, resources } from './resources.ts';
import { decideRestore, decideRestoreRefused } from './restore/decide.ts';
import type { RestoreJobSettings } from './restore/jobs.ts';
import { observeRestore } from './restore/observe.ts';
import { fromTime } from './time.ts';

/** Several changes of a schedule's runs within this time cost it one status write. */
const RUNS_SETTLE_MS = 1_000;
/** A Job and its pod change several times within moments of their start and end. */
const JOB_SETTLE_MS = 1_000;
const CLOCK_CHECK_MS = 5_000;
const CLOCK_JUMP_MS = 500;

export interface OperatorOptions {
  client: KubeClient;
  /** Empty: all namespaces. */
  namespaces: readonly string[];
  jobs: RestoreJobSettings;
  limits: ConcurrencyLimits;
  /** Reconciles at a time: schedules and runs share twice this many. */
  workers: number;
  clock: Clock;
  logger: KubeLogger;
  events: EventRecorder;
  /** Throws when this process may no longer lead. */
  assertLeading: () => void;
  /** Called with the key of every schedule that changed or was deleted, for metrics. */
  onSchedule?: (key: string) => void;
  /** The same for locations. */
  onLocation?: (key: string) => void;
  /** Called with every run that was seen first, changed or was deleted, for traces. */
  onRun?: (backup: KmBackup, type: 'added' | 'updated' | 'deleted') => void;
  metrics?: OperatorObservers;
}

export interface OperatorObservers {
  queue?: WorkQueueMetrics;
  reflector?: ReflectorMetrics;
  /** Seconds from a scheduled time to the creation of its Job. */
  observeDispatchLag?: (seconds: number) => void;
  observeReconcileError?: (kind: string) => void;
}

/**
 * Priorities of the work queue, most urgent first. At a full hour the API server is the bottleneck: runs are recorded
 * first, then their Jobs are created, since each Job puts other controllers to work. Reports come after that.
 */
const RECORD = 0;
const JOB = 1;
const STATUS = 2;
const EVENT = 3;
/** How long each of them may wait behind more urgent work; milliseconds. */
const PATIENCE_MS = [0, 3_000, 30_000, 30_000];

type Kind = 'KmBackupSchedule' | 'KmBackup' | 'KmRestore' | 'KmBackupLocation' | 'Event';

/** Key in the work queue. */
const workOf = (kind: Kind, key: string) => `${kind} ${key}`;

/** The kind of object that a key of the work queue stands for. */
export const kindOf = (work: string) => work.slice(0, work.indexOf(' ')) as Kind;

/**
 * Watches schedules, runs, Jobs and pods, and brings the cluster to what they ask for. Level-based: every reconcile
 * starts from what is observed, so a missed event, a restart or a second leader changes nothing.
 */
export class Operator {
  readonly cache: Cache;
  readonly limiter: ConcurrencyLimiter;
  /** Of copies: an upload of hours must not hold up backups. By schedule. */
  readonly #copyLimiter: ConcurrencyLimiter;
  readonly #options: OperatorOptions;
  readonly #queue: WorkQueue;
  readonly #resources: Resources;
  readonly #applier: Applier;
  readonly #podsOnNodes: PodsOnNodes;
  /** Events that wait in the queue, by key. */
  readonly #events = new Map<string, EventDetails>();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { clock, client, namespaces, logger, metrics, assertLeading } = options;
    this.#resources = resources(client);
    this.#podsOnNodes = podsOnNodes(this.#resources.pods, clock);
    this.#queue = new WorkQueue({
      clock,
      patienceMs: PATIENCE_MS,
      ...(metrics?.queue && { metrics: metrics.queue }),
    });
    this.limiter = new ConcurrencyLimiter(options.limits, (key) => this.#addBackup(key));
    this.#copyLimiter = new ConcurrencyLimiter(options.limits, (key) =>
      this.#queue.add(workOf('KmBackupSchedule', key), JOB),
    );
    this.cache = new Cache(
      {
        resources: this.#resources,
        namespaces,
        logger,
        clock,
        ...(metrics?.reflector && { metrics: metrics.reflector }),
      },
      {
        schedule: (key) => {
          this.#addSchedule(key);
          options.onSchedule?.(key);
        },
        runs: (key) => this.#queue.addAfter(workOf('KmBackupSchedule', key), RUNS_SETTLE_MS, STATUS),
        job: (key) => this.#queue.addAfter(workOf('KmBackup', key), JOB_SETTLE_MS, STATUS),
        backup: (key) => this.#addBackup(key),
        ...(options.onRun && { run: options.onRun }),
        location: (key) => {
          this.#queue.addAfter(workOf('KmBackupLocation', key), JOB_SETTLE_MS, STATUS);
          options.onLocation?.(key);
        },
        restore: (key) => this.#queue.add(workOf('KmRestore', key), JOB),
      },
    );
    this.#applier = createApplier({
      resources: this.#resources,
      stores: this.cache,
      clock,
      recordEvent: (event) => {
        const key = `${event.regarding.uid} ${event.reason} ${event.note}`;
        this.#events.set(key, event);
        this.#queue.add(workOf('Event', key), EVENT);
      },
      assertLeading,
    });
  }

  /** Reconciles every schedule and every unfinished run again. */
  resync(): void {
    for (const key of this.cache.schedules.keys()) this.#addSchedule(key);
    for (const backup of this.cache.unfinishedRuns()) this.#addBackup(keyOf(backup));
    for (const key of this.cache.restores.keys()) this.#queue.add(workOf('KmRestore', key), JOB);
    for (const key of this.cache.locations.keys()) this.#queue.add(workOf('KmBackupLocation', key), JOB);
  }

  /** Keeps the cache current until the signal, leader or not. */
  watch(signal: AbortSignal): Promise<void> {
    return this.cache.run(signal);
  }

  /** Reconciles until the signal. Call it only while leading. */
  async reconcile(signal: AbortSignal): Promise<void> {
    await this.cache.synced();
    for (const backup of this.cache.unfinishedRuns())
      if (this.cache.jobOf(backup)) this.limiter.hold(keyOf(backup), backup.metadata.namespace);
    for (const [key, namespace] of this.cache.activeCopies()) this.#copyLimiter.hold(key, namespace);
    await Promise.all([
      this.#watchClock(signal),
      this.#queue.run({
        // Schedules and runs share the workers.
        concurrency: 2 * this.#options.workers,
        signal,
        process: (work, priority) => this.#process(work, priority, signal),
      }),
    ]);
  }

  async #process(work: string, priority: number, signal: AbortSignal): Promise<void> {
    const { logger, metrics } = this.#options;
    const kind = kindOf(work);
    const key = work.slice(kind.length + 1);
    try {
      if (kind === 'Event') this.#emit(key);
      else if (kind === 'KmBackupSchedule') await this.#reconcileSchedule(key, priority);
      else if (kind === 'KmBackupLocation') await this.#reconcileLocation(key, priority);
      else if (kind === 'KmRestore') await this.#reconcileRestore(key, priority);
      else await this.#reconcileBackup(key, priority);
      this.#queue.forget(work);
    } catch (error) {
      if (signal.aborted) return;
      // A conflict only says that the cache is behind: the watch brings the news.
      if (!isConflict(error)) {
        metrics?.observeReconcileError?.(kind);
        logger.warn({ kind, key, error: String(error) }, 'reconcile failed; trying again');
      }
      this.#queue.addRateLimited(work, priority);
    }
  }

  /** Timers run on the monotonic clock: when the wall clock is set, everything is reconciled again. */
  async #watchClock(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options;
    const offset = () => clock.now() - clock.monotonic();
    for (let known = offset(); !signal.aborted; ) {
      await sleep(clock, CLOCK_CHECK_MS, signal);
      const jumpMs = offset() - known;
      if (Math.abs(jumpMs) < CLOCK_JUMP_MS) continue;
      known = offset();
      logger.warn({ jumpMs }, 'the clock was set; reconciling everything again');
      this.resync();
    }
  }

  #addSchedule(key: string): void {
    this.#queue.add(workOf('KmBackupSchedule', key), RECORD);
  }

  #addBackup(key: string): void {
    this.#queue.add(workOf('KmBackup', key), JOB);
  }

  #emit(key: string): void {
    const event = this.#events.get(key);
    this.#events.delete(key);
    if (event) this.#options.events.emit(event);
  }

  /** Applies the plan now, or puts the key back if the plan only reports and more urgent work waits. */
  async #apply(work: string, priority: number, plan: Plan): Promise<void> {
    const { requeueAtMs, mayWait } = plan;
    if (requeueAtMs !== undefined) {
      const delayMs = Math.max(0, requeueAtMs - this.#options.clock.now());
      this.#queue.addAfter(work, delayMs, kindOf(work) === 'KmBackupSchedule' ? RECORD : JOB);
    }
    if (mayWait && priority < STATUS && this.#queue.waitsBefore(STATUS)) this.#queue.add(work, STATUS);
    else await this.#applier.apply(plan);
  }

  async #reconcileSchedule(key: string, priority: number): Promise<void> {
    const { jobs, clock } = this.#options;
    const observed = observeSchedule(key, this.cache, jobs);
    if (!observed) {
      this.#copyLimiter.release(key, key.slice(0, key.indexOf('/')));
      return;
    }
    const observing = this.#observing();
    const copies = await observeCopies(observed.schedule, this.#copyLimiter, observing);
    try {
      const { nowMs } = observing;
      const plan = decideSchedule(observed, nowMs, copies && decideCopies(copies, jobs, nowMs));
      await this.#apply(workOf('KmBackupSchedule', key), priority, plan);
    } catch (error) {
      if (!(error instanceof StepRefusedError)) throw error;
      if (error.step.kind === 'createJob') return await this.#recordCopyRefused(key, error);
      const current = observeSchedule(key, this.cache, jobs);
      const refusal = refusalOfSchedule(error);
      if (current && refusal) await this.#applier.apply(decideScheduleRefused(current, refusal, clock.now()));
      throw error;
    }
  }

  #observing(): Observing {
    const { cache } = this;
    const nowMs = this.#options.clock.now();
    return { cache, resources: this.#resources, podsOnNodes: this.#podsOnNodes, nowMs };
  }

  /** The Job of a copy was refused: as any failure, it is tried again by its back-off. */
  async #recordCopyRefused(key: string, error: StepRefusedError): Promise<void> {
    const schedule = this.cache.schedules.get(key);
    if (!schedule) return;
    this.#copyLimiter.release(key, schedule.metadata.namespace);
    const observing = this.#observing();
    const observed = await observeCopies(schedule, this.#copyLimiter, observing);
    const plan =
      observed && decideCopyRefused(observed, refusalOfJob(error), locationOf(error), observing.nowMs);
    if (plan) await this.#applier.apply(plan);
    this.#copyLimiter.release(key, schedule.metadata.namespace);
  }

  async #reconcileLocation(key: string, priority: number): Promise<void> {
    const location = this.cache.locations.get(key);
    if (!location) return;
    const { clock, jobs } = this.#options;
    const observing = this.#observing();
    const observed = await observeLocation(location, observing);
    try {
      const plan = decideLocation(observed, jobs, observing.nowMs);
      await this.#apply(workOf('KmBackupLocation', key), priority, plan);
    } catch (error) {
      if (!(error instanceof StepRefusedError)) throw error;
      const current = this.cache.locations.get(key) ?? location;
      await this.#applier.apply(decideLocationRefused(current, refusalOfJob(error), clock.now()));
    }
  }

  async #reconcileBackup(key: string, priority: number): Promise<void> {
    const backup = this.cache.backups.get(key);
    if (!backup) {
      this.limiter.release(key, key.slice(0, key.indexOf('/')));
      return;
    }
    const { clock, jobs } = this.#options;
    const nowMs = clock.now();
    const observed = await observeBackup(
      backup,
      this.cache,
      this.#resources,
      this.limiter,
      this.#podsOnNodes,
      nowMs,
    );
    try {
      const plan = decideBackup(observed, jobs, nowMs);
      await this.#apply(workOf('KmBackup', key), priority, plan);
      if (plan.steps.some((step) => step.kind === 'createJob')) this.#observeLag(backup);
    } catch (error) {
      if (!(error instanceof StepRefusedError) || error.step.kind !== 'createJob') throw error;
      // Others may run until the next try.
      this.limiter.release(key, backup.metadata.namespace);
      const current = this.cache.backups.get(key) ?? backup;
      const refused = decideRefused({ ...observed, backup: current }, refusalOfJob(error), clock.now());
      await this.#apply(workOf('KmBackup', key), priority, refused.plan);
      if (!refused.final) throw error;
    }
  }

  async #reconcileRestore(key: string, priority: number): Promise<void> {
    const restore = this.cache.restores.get(key);
    if (!restore) return;
    const { clock, jobs } = this.#options;
    const nowMs = clock.now();
    const observed = await observeRestore(restore, this.cache, this.#resources, nowMs);
    try {
      const plan = decideRestore(observed, jobs, nowMs);
      await this.#apply(workOf('KmRestore', key), priority, plan);
    } catch (error) {
      if (!(error instanceof StepRefusedError)) throw error;
      const current = this.cache.restores.get(key) ?? restore;
      const plan = decideRestoreRefused(current, refusalOfRestore(error), clock.now());
      await this.#apply(workOf('KmRestore', key), priority, plan);
    }
  }

  #observeLag({ spec }: KmBackup): void {
    const { clock, metrics } = this.#options;
    if (spec.scheduledTime !== undefined)
      metrics?.observeDispatchLag?.((clock.now() - fromTime(spec.scheduledTime)) / 1000);
  }
}

/** Name of the location that a refused Job was to copy to. */
const locationOf = ({ step }: StepRefusedError): string =>
  (step.kind === 'createJob' && step.job.metadata.annotations?.[ANNOTATIONS.location]) || '';
