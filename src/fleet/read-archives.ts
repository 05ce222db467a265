/** Reads archives where they are, by km-backup in a short-lived pod that mounts their claims read-only, or reaches their location. */
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { MANAGED_SELECTOR } from '../api/names.ts';
import { sleep } from '../clock/index.ts';
import { isNotFound } from '../kube/errors.ts';
import { type Placement, placementFor } from '../operator/backup/placement.ts';
import { claimOfLocation } from '../operator/location/access.ts';
import type { Job } from '../operator/workloads.ts';
import type { Cluster, Place } from './cluster.ts';
import { FleetError, unlessDenied, unlessMissing } from './errors.ts';
import { locationOf } from './find.ts';
import { CONTAINER } from './logs.ts';
import { newestFirst, observedJob } from './observe.ts';
import { operatorState } from './operator-state.ts';
import {
  archivePath,
  claimsOf,
  claimVolumes,
  type JobImage,
  locationVolumes,
  type ReaderPlan,
  readerJob,
  WORK,
} from './reader-job.ts';
import { requireReading } from './rights.ts';
import { interrupted } from './wait.ts';
import { liveState } from './why.ts';

export interface ReadOptions {
  /** Default: that of the newest Job of the namespace, else that of the operator. */
  readonly image?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with what is being waited for. */
  readonly onWait?: ((message: string) => void) | undefined;
}

export interface Streams {
  readonly stdout: (chunk: Buffer) => void;
  readonly stderr: (chunk: Buffer) => void;
}

export interface Reader {
  /** The archives as the pod sees them, in the order of the backups. */
  readonly archives: readonly string[];
  /** A folder to unpack into, which ends with the pod. */
  readonly work: string;
  /** Runs a program in the pod and resolves with its exit code. */
  run(command: readonly string[], streams: Streams): Promise<number>;
}

/** km-backup in its image. */
export const KM_BACKUP = '/app/bin/km-backup';

const POLL_MS = 500;
/** Longer than an image takes to be pulled over a slow line. */
const START_MS = 180_000;
/** A cause that is known, such as an image that does not exist, is given this long to go away. */
const STUCK_MS = 20_000;

/**
 * Starts a pod that mounts the archives of these backups, lets `use` read them, and removes the pod whatever happens.
 * @throws {FleetError} when a backup has no archive, the caller lacks a right, or the pod cannot be started.
 */
export async function readArchives<T>(
  cluster: Cluster,
  backups: readonly KmBackup[],
  options: ReadOptions,
  use: (reader: Reader) => Promise<T>,
): Promise<T> {
  const archives = backups.map((backup) => pathOf(backups, backup));
  const owner = backups[0]!;
  const { namespace } = owner.metadata;
  await requireReading(cluster, namespace);
  const schedule = await unlessMissing(cluster.resources.schedules.get(namespace, owner.spec.scheduleName));
  const plan = {
    owner,
    schedule,
    image: await imageFor(cluster, namespace, owner, options),
    placement: await placementOf(cluster, namespace, claimsOf(backups), schedule),
    seen: claimVolumes(backups),
  };
  return inPod(cluster, plan, options, (run) => use({ archives, work: WORK, run }));
}

/** How km-backup reads the copies of a schedule in a location. */
export interface CopyReader extends Pick<Reader, 'run'> {
  /** Address of the location. */
  readonly url: string;
  /** Options that lead to it, decrypt what is there, and name the series. */
  readonly flags: readonly string[];
}

/**
 * Starts a pod that reaches a location with the Secrets that it names, lets `use` read the copies of the schedule there,
 * and removes the pod whatever happens.
 * @throws {FleetError} when the location does not exist, the caller lacks a right, or the pod cannot start.
 */
export async function readCopies<T>(
  cluster: Cluster,
  schedule: KmBackupSchedule,
  place: { readonly location: string; readonly identitySecret: string | undefined },
  options: ReadOptions,
  use: (reader: CopyReader) => Promise<T>,
): Promise<T> {
  const { namespace, name } = schedule.metadata;
  await requireReading(cluster, namespace);
  const location = await locationOf(cluster, { namespace, name: place.location });
  const { url, flags, ...seen } = locationVolumes({ ...place, location });
  const claim = claimOfLocation(location);
  const plan = {
    owner: schedule,
    schedule,
    image: await imageFor(cluster, namespace, undefined, options),
    placement: await placementOf(cluster, namespace, claim === undefined ? [] : [claim], schedule),
    seen,
  };
  const series = `--series=${namespace}/${name}`;
  return inPod(cluster, plan, options, (run) => use({ url, flags: [...flags, series], run }));
}

async function inPod<T>(
  cluster: Cluster,
  plan: ReaderPlan,
  options: ReadOptions,
  use: (run: Reader['run']) => Promise<T>,
): Promise<T> {
  const { client, resources } = cluster;
  const { namespace } = plan.owner.metadata;
  const job = await resources.jobs.create(namespace, readerJob(plan));
  try {
    const pod = await started(cluster, job, options);
    const { signal } = options;
    return await use((command, streams) =>
      client.exec({ namespace, pod, container: CONTAINER, command, signal, ...streams }),
    );
  } catch (error) {
    throw options.signal?.aborted ? interrupted(options.signal) : error;
  } finally {
    await remove(cluster, job.metadata);
  }
}

function pathOf(backups: readonly KmBackup[], { metadata, status }: KmBackup): string {
  if (status?.archive) return archivePath(backups, status.archive);
  throw new FleetError(
    'NotFound',
    `Backup ${metadata.name} has no archive: ${status?.message ?? 'it has not ended'} Choose another one.`,
  );
}

async function remove({ resources }: Cluster, { namespace, name }: Place): Promise<void> {
  try {
    await resources.jobs.delete(namespace, name, { propagationPolicy: 'Background', gracePeriodSeconds: 0 });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

interface JobWithPod extends Job {
  readonly spec?: {
    readonly template?: {
      readonly spec?: {
        readonly imagePullSecrets?: readonly { readonly name: string }[];
        readonly containers?: readonly { readonly image?: string; readonly imagePullPolicy?: string }[];
      };
    };
  };
}

/** The image that the operator uses: of the backup's own Job, of the newest Job, or of the operator itself. */
async function imageFor(
  cluster: Cluster,
  namespace: string,
  backup: KmBackup | undefined,
  { image: given }: ReadOptions,
): Promise<JobImage> {
  if (given) return { image: given };
  const jobs = await unlessDenied(
    cluster.resources.jobs.list(namespace, { labelSelector: MANAGED_SELECTOR }),
  );
  const list = jobs === 'denied' ? [] : (jobs.items as JobWithPod[]).sort(newestFirst);
  const own = list.find(({ metadata }) => metadata.name === backup?.status?.job?.name) ?? list[0];
  const pod = own?.spec?.template?.spec;
  const { image, imagePullPolicy } = pod?.containers?.[0] ?? {};
  if (image) return { image, imagePullPolicy, imagePullSecrets: pod?.imagePullSecrets };
  const operator = await operatorState(cluster);
  const known = operator.state === 'known' ? operator.deployments.find((one) => one.image)?.image : undefined;
  if (known) return { image: known };
  throw new FleetError(
    'Usage',
    `Which image has km-backup cannot be seen: no Job is left in namespace ${namespace}, and the operator's Deployment is not visible to you. Pass --image.`,
  );
}

async function placementOf(
  { resources }: Cluster,
  namespace: string,
  names: readonly string[],
  schedule: KmBackupSchedule | undefined,
): Promise<Placement> {
  const claims = await Promise.all(
    names.map(async (name) => {
      const claim = await unlessMissing(resources.claims.get(namespace, name));
      if (claim) return claim;
      throw new FleetError(
        'NotFound',
        `Claim ${name}, which holds the archive, no longer exists in namespace ${namespace}.`,
      );
    }),
  );
  const pods = await unlessDenied(resources.pods.list(namespace));
  const found = placementFor(claims, pods === 'denied' ? [] : pods.items);
  if (found.ok) return found.placement;
  throw new FleetError(
    'Refused',
    `The archive cannot be read now${schedule ? '' : ' (its schedule was deleted)'}: ${found.message}`,
  );
}

/** The name of the pod, once its container runs. */
async function started(cluster: Cluster, job: Job, { signal, onWait }: ReadOptions): Promise<string> {
  const { clock, resources } = cluster;
  const { namespace, name, uid } = job.metadata;
  const end = clock.monotonic() + START_MS;
  let stuckSince: number | undefined;
  const labelSelector = `batch.kubernetes.io/controller-uid=${uid}`;
  for (;;) {
    if (signal?.aborted) throw interrupted(signal);
    const { items } = await resources.pods.list(namespace, { labelSelector });
    const running = items.find(({ status }) =>
      status?.containerStatuses?.some((one) => one.name === CONTAINER && one.state?.running),
    );
    if (running) return running.metadata.name;
    const state = liveState({ job, pods: items, events: [], log: [] });
    onWait?.(`Pod that reads the archive ${state?.cause ?? 'waits'}`);
    // A cluster that grows on demand brings a node.
    const isStuck = state?.verdict === 'problem' && state.reason !== 'Unschedulable';
    stuckSince = isStuck ? (stuckSince ?? clock.monotonic()) : undefined;
    const isLost = stuckSince !== undefined && clock.monotonic() - stuckSince > STUCK_MS;
    const over = items.some(({ status }) => status?.phase === 'Failed' || status?.phase === 'Succeeded');
    if (over || isLost || clock.monotonic() > end) {
      const why = liveState(await observedJob(cluster, job));
      throw new FleetError(
        'Failed',
        `The pod that reads the archive (Job ${namespace}/${name}) ${why?.cause ?? 'did not start'} ${why?.todo.join(' ') ?? ''}`.trim(),
      );
    }
    await sleep(clock, POLL_MS, signal);
  }
}
