import { hostname } from 'node:os';
import { Registry } from 'prom-client';
import { FIELD_MANAGER } from '../../api/names.ts';
import { type Clock, systemClock } from '../../clock/index.ts';
import { backupCheck, healthRoutes, startHttpServer } from '../../health/index.ts';
import { KubeClient } from '../../kube/client.ts';
import { fromKubeconfig, inCluster } from '../../kube/config.ts';
import { EventRecorder } from '../../kube/events.ts';
import { LeaderElector, LeadershipLostError } from '../../kube/lease.ts';
import { createLogger, isLogLevel } from '../../log/index.ts';
import { BackupMetrics, CopyMetrics } from '../../metrics/index.ts';
import { Operator } from '../../operator/operator.ts';
import { overviewOfCache } from '../../operator/overview.ts';
import { backupStateOf, copySnapshotsOf, isAvailable, snapshotOf } from '../../operator/report.ts';
import { pageRoutes } from '../../page/index.ts';
import { switchLogLevelBySignal } from '../log-level.ts';
import type { OperatorArguments } from './arguments.ts';
import { startSecureServer } from './secure-metrics.ts';
import { operatorMetrics } from './self-metrics.ts';
import { tracingOf } from './tracing.ts';

/**
 * Runs the operator until the signal.
 * @throws {LeadershipLostError} when the Lease is lost. The process must then exit: requests under way and the HTTP
 *   server are not stopped.
 */
export async function runOperator(
  options: OperatorArguments,
  signal: AbortSignal,
  clock: Clock = systemClock,
): Promise<void> {
  const logger = createLogger({
    level: isLogLevel(options.logLevel) ? options.logLevel : 'info',
    name: FIELD_MANAGER,
  });
  using _level = switchLogLevelBySignal(logger);
  const identity = `${options.podName ?? hostname()}_${process.pid}_${Date.now().toString(36)}`;
  const server =
    options.kubeconfig === undefined
      ? await inCluster(process.env)
      : await fromKubeconfig(options.kubeconfig);
  const registry = new Registry();
  const self = operatorMetrics(registry);
  const client = new KubeClient(server, {
    rate: { qps: options.apiQps, burst: options.apiQps * 2 },
    observe: self.observeRequest,
    clock,
  });
  // The elector retries by itself, so a request that hangs must leave time for that.
  const electionClient = new KubeClient(server, {
    attempts: 1,
    timeoutMs: (options.renewDeadline * 1000) / 2,
    observe: self.observeRequest,
    clock,
  });
  const events = new EventRecorder({
    client,
    reportingController: 'km.duskmantle.io/km-backup-operator',
    reportingInstance: identity,
    logger,
    clock,
  });
  const elector = options.leaderElect
    ? new LeaderElector({
        client: electionClient,
        namespace: options.podNamespace ?? 'default',
        name: options.leaseName,
        identity,
        leaseDurationSeconds: options.leaseDuration,
        renewDeadlineSeconds: options.renewDeadline,
        retryPeriodSeconds: options.retryPeriod,
        logger,
        clock,
      })
    : undefined;

  const tracing = tracingOf(process.env, logger, clock);
  const backupMetrics = new BackupMetrics(registry, { labelled: true });
  const copyMetrics = new CopyMetrics(registry, { labelled: true });
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  let state: 'syncing' | 'standby' | 'leading' | 'stopped' = 'syncing';

  const operator = new Operator({
    client,
    namespaces: options.namespaces,
    jobs: {
      image: options.image,
      imagePullPolicy: options.imagePullPolicy,
      imagePullSecrets: options.imagePullSecrets,
      allowScripts: options.allowScripts,
      stepImages: options.stepImages,
      elevatedNamespaces: options.elevatedNamespaces,
      defaultUser: options.defaultUser,
    },
    limits: { total: options.maxConcurrentRuns, perNamespace: options.maxConcurrentRunsPerNamespace },
    workers: options.workers,
    clock,
    logger,
    events,
    assertLeading: () => elector?.assertLeading(),
    onSchedule: reportSchedule,
    onLocation: reportLocation,
    ...(tracing && { onRun: tracing.see }),
    metrics: self,
  });

  // A standby exports nothing about schedules, because a sum over replicas would count them twice.
  function reportSchedule(key: string): void {
    const [namespace, name] = partsOf(key);
    const schedule = operator.cache.schedules.get(key);
    const isReported = schedule && state === 'leading';
    if (isReported) backupMetrics.set(namespace, name, snapshotOf(schedule));
    else backupMetrics.delete(namespace, name);
    copyMetrics.setCopies(namespace, name, isReported ? copySnapshotsOf(schedule) : new Map());
  }

  function reportLocation(key: string): void {
    const location = operator.cache.locations.get(key);
    const isReported = location && state === 'leading';
    copyMetrics.setAvailable(...partsOf(key), isReported ? isAvailable(location) : undefined);
  }

  self.watchOperator({ leading: () => state === 'leading', limiter: operator.limiter });
  const health = healthRoutes({
    metrics: registry,
    checks: () =>
      new Map(
        operator.cache.schedules.list().map((schedule) => [
          `${schedule.metadata.namespace}/${schedule.metadata.name}`,
          backupCheck({
            ...backupStateOf(schedule, operator.cache.restoreOver(schedule)),
            stopped: state === 'stopped',
          }),
        ]),
      ),
    ready: () =>
      state === 'syncing' ? ['the first list of schedules, runs, Jobs and pods is not complete'] : [],
  });
  const { '/metrics': metrics, '/healthz': healthz, ...probes } = health;
  const isSecure = options.securePort !== undefined;
  const http = await startHttpServer({
    host: options.httpHost,
    port: options.httpPort,
    routes: {
      ...(isSecure ? probes : health),
      ...(options.page &&
        pageRoutes({
          subject: 'Backups',
          ...(options.namespaces.length > 0 && { note: `Namespaces: ${options.namespaces.join(', ')}.` }),
          overview: () => (state === 'syncing' ? undefined : overviewOfCache(operator.cache, clock.now())),
          monotonic: () => clock.monotonic(),
        })),
    },
    onError: (error) => logger.warn({ error: String(error) }, 'an HTTP request failed'),
  });
  const https = isSecure
    ? await startSecureServer({
        host: options.httpHost,
        port: options.securePort!,
        tlsDir: options.tlsDir,
        name: options.podName ?? hostname(),
        routes: { '/metrics': metrics!, '/healthz': healthz! },
        apiServer: server,
        observe: self.observeRequest,
        logger,
        clock,
        signal: both,
      })
    : undefined;
  logger.info(
    { url: http.url, ...(https && { secureUrl: https.url }), namespaces: options.namespaces },
    'serving',
  );

  const watching = operator.watch(both);
  let lost = false;
  try {
    await Promise.race([operator.cache.synced(), aborted(both)]);
    if (signal.aborted) return;
    state = 'standby';
    logger.info({ schedules: operator.cache.schedules.size, backups: operator.cache.backups.size }, 'synced');
    await elector?.acquire(both);
    if (signal.aborted) return;
    state = 'leading';
    for (const key of operator.cache.schedules.keys()) reportSchedule(key);
    for (const key of operator.cache.locations.keys()) reportLocation(key);
    tracing?.start();
    await lead(operator, elector, signal, stop);
  } catch (error) {
    lost = error instanceof LeadershipLostError;
    throw error;
  } finally {
    state = 'stopped';
    stop.abort();
    // After losing the Lease, every further moment risks disturbing the new leader's work.
    if (!lost) {
      await watching;
      await Promise.race([events.flush(), new Promise((resolve) => setTimeout(resolve, 2_000).unref())]);
      await Promise.all([http.close(), https?.close(), tracing?.stop()]);
      await Promise.all([client.close(), electionClient.close()]);
    }
  }
}

/** Namespace and name. */
function partsOf(key: string): [namespace: string, name: string] {
  const slash = key.indexOf('/');
  return [key.slice(0, slash), key.slice(slash + 1)];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Reconciles while it holds the Lease. On the signal it releases the Lease only after the last write. */
async function lead(
  operator: Operator,
  elector: LeaderElector | undefined,
  signal: AbortSignal,
  stop: AbortController,
): Promise<void> {
  if (!elector) return operator.reconcile(signal);
  const worked = new AbortController();
  const holding = elector.hold(worked.signal).catch((error: unknown) => {
    // Not an orderly end: the new leader may already be working.
    stop.abort();
    throw error instanceof LeadershipLostError ? error : new LeadershipLostError(String(error));
  });
  const working = operator.reconcile(AbortSignal.any([signal, stop.signal])).finally(() => worked.abort());
  await Promise.all([holding, working]);
}
