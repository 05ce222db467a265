import type { ObjectMeta } from '../api/metadata.ts';
import { ANNOTATIONS } from '../api/names.ts';

/** The parts of a Job that the operator reads. */
export interface Job {
  metadata: ObjectMeta & { annotations?: Record<string, string> };
  status?: {
    startTime?: string;
    completionTime?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
  };
}

/** A Job by name and UID, because a later Job can have the same name. */
export type JobReference = Pick<ObjectMeta, 'name' | 'uid'>;

interface Terminated {
  exitCode: number;
  signal?: number;
  reason?: string;
  message?: string;
  startedAt?: string;
  finishedAt?: string;
}

interface ContainerSecurity {
  runAsUser?: number;
  runAsGroup?: number;
  seLinuxOptions?: { level?: string };
}

interface PodSecurity extends ContainerSecurity {
  fsGroup?: number;
  supplementalGroups?: number[];
}

export interface ContainerSpec {
  name: string;
  securityContext?: ContainerSecurity;
  volumeMounts?: { name: string; readOnly?: boolean }[];
}

interface ContainerStatus {
  name: string;
  state?: {
    waiting?: { reason?: string; message?: string };
    running?: { startedAt?: string };
    terminated?: Terminated;
  };
}

/** The parts of a pod that the operator reads. */
export interface Pod {
  metadata: ObjectMeta;
  spec: {
    nodeName?: string;
    tolerations?: Toleration[];
    securityContext?: PodSecurity;
    containers?: ContainerSpec[];
    initContainers?: ContainerSpec[];
    volumes?: { name: string; persistentVolumeClaim?: { claimName: string } }[];
  };
  status?: {
    phase?: string;
    reason?: string;
    message?: string;
    conditions?: { type: string; status: string; reason?: string; message?: string }[];
    initContainerStatuses?: ContainerStatus[];
    containerStatuses?: ContainerStatus[];
  };
}

/** What is read of a workload of any kind, to stop and start it. */
export interface WorkloadObject {
  metadata: ObjectMeta;
  spec?: {
    replicas?: number;
    suspend?: boolean;
    persistentVolumeClaimRetentionPolicy?: { whenScaled?: string };
  };
}

export interface Service {
  metadata: ObjectMeta;
  spec?: { clusterIP?: string };
}

export interface Toleration {
  key?: string | undefined;
  operator?: string | undefined;
  value?: string | undefined;
  effect?: string | undefined;
  tolerationSeconds?: number | undefined;
}

export interface PersistentVolumeClaim {
  metadata: ObjectMeta;
  spec: { accessModes?: string[]; volumeMode?: string };
}

const READ_ANNOTATIONS: ReadonlySet<string> = new Set(Object.values(ANNOTATIONS));

/** Without managed fields, and without annotations of others: the last applied configuration is one. */
export function trimmedMeta(meta: ObjectMeta): ObjectMeta {
  const {
    name,
    namespace,
    uid,
    resourceVersion,
    generation,
    creationTimestamp,
    deletionTimestamp,
    labels,
    annotations,
    ownerReferences,
    finalizers,
  } = meta;
  const read = Object.entries(annotations ?? {}).filter(([annotation]) => READ_ANNOTATIONS.has(annotation));
  return {
    name,
    namespace,
    uid,
    resourceVersion,
    ...(generation !== undefined && { generation }),
    creationTimestamp,
    ...(deletionTimestamp && { deletionTimestamp }),
    ...(labels && { labels }),
    ...(read.length > 0 && { annotations: Object.fromEntries(read) }),
    ...(ownerReferences && { ownerReferences }),
    ...(finalizers && { finalizers }),
  };
}

export interface Destination {
  claimName: string;
  path: string;
}

export const destinationText = ({ claimName, path }: Destination): string => `${claimName}/${path}`;

/** Where the run of this Job writes, from its schedule when the Job was created; or where a found archive is. */
export function annotatedDestination({ metadata }: { metadata: ObjectMeta }): Destination | undefined {
  const text = metadata.annotations?.[ANNOTATIONS.destination];
  const slash = text?.indexOf('/') ?? -1;
  return text && slash > 0 ? { claimName: text.slice(0, slash), path: text.slice(slash + 1) } : undefined;
}

export interface Deadlines {
  startSeconds: number;
  activeSeconds: number;
}

export const deadlinesText = ({ startSeconds, activeSeconds }: Deadlines): string =>
  `${startSeconds}/${activeSeconds}`;

/** The deadlines of the run, from its schedule when the Job was created. */
export function deadlinesOfJob({ metadata }: Job): Deadlines | undefined {
  const [startSeconds, activeSeconds] = (metadata.annotations?.[ANNOTATIONS.deadlines] ?? '')
    .split('/')
    .map(Number);
  return startSeconds && activeSeconds ? { startSeconds, activeSeconds } : undefined;
}

/** Drops what no decision reads, so that 10,000 Jobs cost little memory. */
export function trimJob(job: Job): Job {
  const { startTime, completionTime, conditions } = job.status ?? {};
  return {
    metadata: trimmedMeta(job.metadata),
    status: {
      ...(startTime && { startTime }),
      ...(completionTime && { completionTime }),
      ...(conditions && { conditions }),
    },
  };
}

/** Drops what no decision reads, because most claims of a cluster may belong to no schedule. */
export function trimClaim({ metadata, spec }: PersistentVolumeClaim): PersistentVolumeClaim {
  const { labels: _labels, ownerReferences: owners, ...meta } = trimmedMeta(metadata);
  const pods = owners?.filter(({ kind }) => kind === 'Pod') ?? [];
  const { accessModes, volumeMode } = spec;
  return {
    metadata: { ...meta, ...(pods.length > 0 && { ownerReferences: pods }) },
    spec: { ...(accessModes && { accessModes }), ...(volumeMode && { volumeMode }) },
  };
}

/** Drops what no decision reads. */
export function trimPod(pod: Pod): Pod {
  const { phase, reason, message, conditions, containerStatuses, initContainerStatuses } = pod.status ?? {};
  const trimmed = ({ name, state }: ContainerStatus) => ({ name, ...(state && { state }) });
  return {
    metadata: trimmedMeta(pod.metadata),
    spec: pod.spec.nodeName ? { nodeName: pod.spec.nodeName } : {},
    status: {
      ...(phase && { phase }),
      ...(reason && { reason }),
      ...(message && { message }),
      ...(conditions && {
        conditions: conditions.filter(
          (condition) => condition.status !== 'True' || condition.type === 'DisruptionTarget',
        ),
      }),
      ...(initContainerStatuses && { initContainerStatuses: initContainerStatuses.map(trimmed) }),
      ...(containerStatuses && { containerStatuses: containerStatuses.map(trimmed) }),
    },
  };
}
