/** The user and groups with which a run reads the source and writes the destination. Pure. */
import type { V1PodSecurityContext } from '@kubernetes/client-node';
import type { KmBackupScheduleSpec, SourceIdentity } from '../../api/backup-schedule.ts';
import { ANNOTATIONS, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import type { ContainerSpec, Job, Pod } from '../workloads.ts';
import type { Finished } from './outcome.ts';

/** User and group of the image. */
const NONROOT = 65532;

/** What a Job says about its identity, for the messages of its run and for later runs. */
export interface JobIdentity {
  /** Absent: the platform chose it. */
  user?: number;
  group?: number;
  fsGroup?: number;
  from: 'spec.podTemplate' | 'pod' | 'default';
  /** Root with a few capabilities. */
  elevated?: true;
  /** The pod that mounts the source claim, or the last that did. */
  source?: SourceIdentity;
}

interface Mount {
  pod: Pod;
  container: ContainerSpec | undefined;
  writes: boolean;
}

/** How a pod mounts a claim; undefined when it does not. */
function mountOf(pod: Pod, claimName: string): Mount | undefined {
  const volumes = new Set(
    (pod.spec.volumes ?? [])
      .filter((volume) => volume.persistentVolumeClaim?.claimName === claimName)
      .map(({ name }) => name),
  );
  if (volumes.size === 0) return undefined;
  const mounts = ({ volumeMounts = [] }: ContainerSpec, writing: boolean) =>
    volumeMounts.some(({ name, readOnly }) => volumes.has(name) && !(writing && readOnly));
  const containers = [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])];
  const writer = containers.find((container) => mounts(container, true));
  const container = writer ?? containers.find((candidate) => mounts(candidate, false));
  return { pod, container, writes: writer !== undefined };
}

/** The container's security context takes precedence over its pod's, as in Kubernetes. */
const userOf = ({ pod, container }: Mount): number | undefined =>
  container?.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser;

const isTakable = (user: number | undefined): user is number => user !== undefined && user !== 0;

/** Pods whose user a run can take go first, then those that write, then the oldest. */
function byPreference(a: Mount, b: Mount): number {
  return (
    Number(isTakable(userOf(b))) - Number(isTakable(userOf(a))) ||
    Number(b.writes) - Number(a.writes) ||
    a.pod.metadata.creationTimestamp.localeCompare(b.pod.metadata.creationTimestamp) ||
    a.pod.metadata.name.localeCompare(b.pod.metadata.name)
  );
}

function describeUser(user: number | undefined): string {
  if (user === undefined) return 'the user of its image';
  return user === 0 ? 'root' : `user ${user}`;
}

/** Why the user of these pods cannot be used, or is not clear. */
function noteOn(chosen: Mount, mounts: readonly Mount[], claimName: string): string | undefined {
  const user = userOf(chosen);
  const { name } = chosen.pod.metadata;
  if (!isTakable(user))
    return `Pod ${name} mounts claim ${claimName} as ${describeUser(user)}, which a backup ${user === 0 ? 'runs as only with spec.podTemplate.elevated' : 'cannot see'}.`;
  if (new Set(mounts.map(userOf)).size < 2) return undefined;
  const others = mounts.map((mount) => `${mount.pod.metadata.name} (${describeUser(userOf(mount))})`);
  return `Pods with different users mount claim ${claimName}: ${others.slice(0, 5).join(', ')}. The run takes user ${user} of ${name}.`;
}

/** The security context of the pod that mounts a claim; undefined when none does. */
export function sourceIdentity(claimName: string, pods: readonly Pod[]): SourceIdentity | undefined {
  const mounts = pods
    .filter(({ metadata }) => metadata.labels?.[LABELS.managedBy] !== FIELD_MANAGER)
    .map((pod) => mountOf(pod, claimName))
    .filter((mount) => mount !== undefined)
    .sort(byPreference);
  const [chosen] = mounts;
  if (!chosen) return undefined;
  const { securityContext: ofPod = {} } = chosen.pod.spec;
  const ofContainer = chosen.container?.securityContext ?? {};
  const user = userOf(chosen);
  const group = ofContainer.runAsGroup ?? ofPod.runAsGroup;
  const level = ofContainer.seLinuxOptions?.level ?? ofPod.seLinuxOptions?.level;
  const note = noteOn(chosen, mounts, claimName);
  return {
    claimName,
    pod: chosen.pod.metadata.name,
    ...(isTakable(user) && { runAsUser: user }),
    ...(group !== undefined && (isTakable(user) || group !== 0) && { runAsGroup: group }),
    ...(ofPod.fsGroup !== undefined && { fsGroup: ofPod.fsGroup }),
    ...(ofPod.supplementalGroups?.length && { supplementalGroups: ofPod.supplementalGroups }),
    // Pod Security `restricted` allows no other user, role or type than the default.
    ...(level !== undefined && { seLinuxOptions: { level } }),
    ...(note !== undefined && { note }),
  };
}

/**
 * The further groups of the pod that mounts the source. If it names a user but no group, its image decides: the group of
 * that user, which is usually the one of the same number, or else 0. The Job gets both, or it could give files of
 * group 0 to nobody.
 */
function groupsOf(
  mounting: SourceIdentity | undefined,
  podTemplate: NonNullable<KmBackupScheduleSpec['podTemplate']>,
): number[] | undefined {
  const { runAsUser, runAsGroup, supplementalGroups } = mounting ?? {};
  const isNamed = (podTemplate.runAsGroup ?? podTemplate.runAsUser ?? runAsGroup) !== undefined;
  if (runAsUser === undefined || isNamed) return supplementalGroups;
  return [...new Set([...(supplementalGroups ?? []), 0])];
}

/**
 * First what the schedule says, then what the pod that mounts the source says, then the image's user. The kubelet
 * applies `fsGroup` to every file of a volume, so one that nobody asked for would change the owner's permissions.
 * An elevated Job needs none of the pod's users and groups.
 *
 * @param settings.defaultUser Whether the image's user is named. If not, the platform may choose one (OpenShift).
 */
export function identityOf(
  { podTemplate = {} }: { podTemplate?: KmBackupScheduleSpec['podTemplate'] | undefined },
  source: SourceIdentity | undefined,
  { defaultUser = true }: { readonly defaultUser?: boolean } = {},
): { securityContext: V1PodSecurityContext; identity: JobIdentity } {
  const elevated = podTemplate.elevated === true;
  const mounting = elevated ? undefined : source;
  const fallback = defaultUser ? NONROOT : undefined;
  const user = elevated ? 0 : (podTemplate.runAsUser ?? mounting?.runAsUser ?? fallback);
  const group = elevated
    ? 0
    : (podTemplate.runAsGroup ?? podTemplate.runAsUser ?? mounting?.runAsGroup ?? user);
  const fsGroup = podTemplate.fsGroup ?? mounting?.fsGroup;
  const supplementalGroups = podTemplate.supplementalGroups ?? groupsOf(mounting, podTemplate);
  const seLinuxOptions = podTemplate.seLinuxOptions ?? source?.seLinuxOptions;
  const fromPod = source?.runAsUser === undefined ? 'default' : 'pod';
  return {
    securityContext: {
      runAsNonRoot: !elevated,
      ...(user !== undefined && { runAsUser: user }),
      ...(group !== undefined && { runAsGroup: group }),
      ...(fsGroup !== undefined && { fsGroup }),
      fsGroupChangePolicy: 'OnRootMismatch',
      ...(supplementalGroups && { supplementalGroups }),
      ...(seLinuxOptions && {
        seLinuxOptions: seLinuxOptions as V1PodSecurityContext['seLinuxOptions'] & object,
      }),
      seccompProfile: { type: 'RuntimeDefault' },
    },
    identity: {
      ...(user !== undefined && { user }),
      ...(group !== undefined && { group }),
      ...(fsGroup !== undefined && { fsGroup }),
      from: podTemplate.runAsUser === undefined && !elevated ? fromPod : 'spec.podTemplate',
      ...(elevated && { elevated }),
      ...(source && { source }),
    },
  };
}

/** For messages. */
export const userName = (user: number | undefined) =>
  user === undefined ? 'the user that the platform chose' : `user ${user}`;

const DENIED = /\b(EACCES|EPERM)\b|permission denied|operation not permitted/i;

/** Adds to the message of a run that was denied access: which user it ran as, why, and which field changes that. */
export function withIdentity(outcome: Finished, identity: JobIdentity | undefined): Finished {
  const said = [outcome.message, ...(outcome.result?.warnings.samples ?? [])];
  const denied = outcome.phase === 'Incomplete' || outcome.phase === 'Failed';
  if (!identity || !denied || !said.some((text) => DENIED.test(text))) return outcome;
  const { user, group, fsGroup, from, source } = identity;
  if (identity.elevated) {
    return {
      ...outcome,
      message: `${outcome.message} The Job ran as root with DAC_OVERRIDE (spec.podTemplate.elevated). Where that is denied, the volume's server does not trust root (NFS with root_squash): set spec.podTemplate.runAsUser instead.`,
    };
  }
  const origin = {
    'spec.podTemplate': 'as spec.podTemplate says',
    pod: `as pod ${source?.pod} does, which mounts the source`,
    default: 'the default, because no pod that mounts the source names another',
  }[from];
  const groups = [group !== undefined && `group ${group}`, fsGroup !== undefined && `fsGroup ${fsGroup}`]
    .filter(Boolean)
    .join(' and ');
  const note = from !== 'spec.podTemplate' && source?.note ? ` ${source.note}` : '';
  return {
    ...outcome,
    message: `${outcome.message} The Job ran as ${userName(user)}${groups && ` with ${groups}`} (${origin}).${note} Set spec.podTemplate.runAsUser or spec.podTemplate.fsGroup to a user or group that may read the source and write the destination. Files of many owners take spec.podTemplate.elevated.`,
  };
}

export function identityOfJob({ metadata }: Job): JobIdentity | undefined {
  const text = metadata.annotations?.[ANNOTATIONS.identity];
  try {
    return text === undefined ? undefined : (JSON.parse(text) as JobIdentity);
  } catch {
    return undefined;
  }
}
