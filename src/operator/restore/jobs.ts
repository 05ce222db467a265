/** Builds the Jobs of a restore. Pure. */
import type {
  V1Container,
  V1PersistentVolumeClaimSpec,
  V1PodSpec,
  V1ResourceRequirements,
  V1Volume,
  V1VolumeMount,
} from '@kubernetes/client-node';
import { IDENTITY_KEY, type KmBackupLocation } from '../../api/location.ts';
import { API_VERSION, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { ExitCode, notRetried } from '../../api/reasons.ts';
import { isElevated, type KmRestore } from '../../api/restore.ts';
import type { Step } from '../../api/step.ts';
import { literal, option } from '../arguments.ts';
import { containerSecurity } from '../backup/elevated.ts';
import { identityOf } from '../backup/identity.ts';
import type { JobSettings } from '../backup/job.ts';
import type { Placement } from '../backup/placement.ts';
import { accessTo, type LocationAccess } from '../location/access.ts';
import { CONTAINER, jobName, labelValue } from '../naming.ts';
import type { NewJob } from '../plan.ts';
import { podBase } from '../pod.ts';
import { podFailurePolicy } from '../pod-failure-policy.ts';
import type { RestoreJobKind } from './observed.ts';
import { SCRIPT_CONTAINER, withScript } from './scratch.ts';

export interface RestoreJobSettings extends JobSettings {
  /** Images that `job` steps may name, besides the operator's own. */
  readonly stepImages: readonly string[];
}

const TARGET_VOLUME = 'target';

/** Kubernetes names the claim of an ephemeral volume after the pod and the volume. */
export const ephemeralClaim = (pod: string): string => `${pod}-${TARGET_VOLUME}`;

const ARCHIVE_MOUNT = '/archive';
/** Where the pods of a restore mount what they restore to. */
export const TARGET_MOUNT = '/target';
const SCRIPT_MOUNT = '/script';
const IDENTITY_MOUNT = '/identity';
const IDENTITY_FILE = `${IDENTITY_MOUNT}/${IDENTITY_KEY}`;
/** How long the first look at a location retries a request that fails. */
const FIND_RETRY_SECONDS = 120;
/**
 * A pod that was deleted by force may still work for as long as its node is silent, and then for its grace period.
 * Several tries of a Job wait for longer.
 */
const LOCK_WAIT_SECONDS = 600;
/** Room for the manifest and for what file systems add. */
const WORK_RESERVE_BYTES = 64 * 1024 * 1024;
/** These Jobs read the archive where it lies; the others work on what was staged. */
const READS_SOURCE: ReadonlySet<RestoreJobKind> = new Set(['find', 'plan', 'stage']);

/** Whether a Job needs the location of a restore from one. */
export const needsLocation = ({ spec }: KmRestore, kind: RestoreJobKind): boolean =>
  spec.source.location !== undefined && READS_SOURCE.has(kind);

/** The folder to restore, as the pod sees it. */
function targetPath({ spec }: KmRestore): string {
  const subPath = spec.target.persistentVolumeClaim?.subPath;
  return subPath === undefined ? TARGET_MOUNT : `${TARGET_MOUNT}/${subPath}`;
}

/** Where the archive is read from, as the pod sees it. */
function sourceOf(
  { spec, status }: KmRestore,
  access: LocationAccess | undefined,
): { readonly path: string; readonly flags: readonly string[] } {
  const { archive, series } = status?.resolved ?? {};
  const { location } = spec.source;
  if (!location) {
    const path = [ARCHIVE_MOUNT, archive?.path, archive?.name].filter((part) => part).join('/');
    return { path, flags: [] };
  }
  return {
    path: access?.url ?? '',
    flags: [
      ...(access?.flags ?? []),
      ...option('archive', archive?.name ?? location.archive),
      ...option('series', archive ? series : location.series),
      ...(archive ? [] : option('as-of', location.asOf)),
      ...(location.identitySecretRef ? option('identity', IDENTITY_FILE) : []),
    ],
  };
}

/** Every option as `--name=value`, so that no value is ever taken for an option. */
export function restoreArguments(
  restore: KmRestore,
  kind: RestoreJobKind,
  access?: LocationAccess,
): string[] {
  const { spec, status, metadata } = restore;
  const source = sourceOf(restore, access);
  const result = [...option('result-file', '/dev/termination-log'), '--json'];
  if (kind === 'find') {
    return [
      'restore',
      '--find',
      ...result,
      ...option('retry-seconds', FIND_RETRY_SECONDS),
      ...source.flags,
      source.path,
    ];
  }
  const { archive } = status!.resolved!;
  const wait = option('lock-wait', LOCK_WAIT_SECONDS);
  const common = ['restore', ...option('id', metadata.uid), ...wait, ...result];
  const target = targetPath(restore);
  if (kind === 'rollback' || kind === 'commit' || kind === 'discard') return [...common, `--${kind}`, target];
  const pinned = [
    ...option('expect-manifest', archive.manifestSha256),
    ...(archive.manifestSha256 === undefined ? option('expect-sha256', archive.sha256) : []),
  ];
  const what = [
    ...source.flags,
    ...pinned,
    ...(isElevated(restore) ? ['--preserve-setid'] : []),
    ...(spec.paths ?? []).flatMap((path) => option('path', path)),
    ...Object.entries(spec.checks ?? {}).flatMap(([check, patterns]) =>
      (patterns ?? []).flatMap((pattern) => option(`check-${check}`, pattern)),
    ),
  ];
  const paths = [source.path, target];
  switch (kind) {
    case 'plan':
      return [...common, '--plan', ...what, ...paths];
    case 'stage': {
      const live = spec.target.persistentVolumeClaim !== undefined;
      return [
        ...common,
        ...(live ? ['--stage-only', ...option('expect-plan', spec.planDigest)] : ['--commit']),
        ...option('progress', 'json'),
        ...what,
        ...paths,
      ];
    }
    case 'swap':
      return [...common, ...(spec.keepOldStateFor === '0' ? ['--commit'] : []), ...what, ...paths];
  }
}

interface Volumes {
  readonly volumes: readonly V1Volume[];
  readonly mounts: readonly V1VolumeMount[];
}

/** The claim or scratch space that the restore writes to; for the Job that finds the copy nothing. */
function targetVolume({ spec }: KmRestore, kind: RestoreJobKind): Volumes {
  if (kind === 'find') return { volumes: [], mounts: [] };
  const { persistentVolumeClaim, newClaim, scratch } = spec.target;
  const readOnly = kind === 'plan' && scratch === undefined;
  const mounts = [{ name: TARGET_VOLUME, mountPath: TARGET_MOUNT, ...(readOnly && { readOnly }) }];
  if (!scratch) {
    const claimName = (persistentVolumeClaim?.claimName ?? newClaim?.name)!;
    const claim = { claimName, ...(readOnly && { readOnly }) };
    return { volumes: [{ name: TARGET_VOLUME, persistentVolumeClaim: claim }], mounts };
  }
  const { storageClassName, size } = scratch;
  const claim: V1PersistentVolumeClaimSpec = {
    accessModes: ['ReadWriteOnce'],
    ...(storageClassName && { storageClassName }),
    resources: { requests: { storage: size } },
  };
  return { volumes: [{ name: TARGET_VOLUME, ephemeral: { volumeClaimTemplate: { spec: claim } } }], mounts };
}

/** The claim of the archive, or what leads to the location and its identity. */
function sourceVolumes({ spec, status }: KmRestore, access: LocationAccess | undefined): Volumes {
  const secretName = spec.source.location?.identitySecretRef?.name;
  if (access) {
    const items = [{ key: IDENTITY_KEY, path: IDENTITY_KEY }];
    return {
      volumes: [
        ...access.volumes,
        ...(secretName === undefined ? [] : [{ name: 'identity', secret: { secretName, items } }]),
      ],
      mounts: [
        ...access.mounts,
        ...(secretName === undefined
          ? []
          : [{ name: 'identity', mountPath: IDENTITY_MOUNT, readOnly: true }]),
      ],
    };
  }
  const claimName = status?.resolved?.archive.claimName;
  if (claimName === undefined) return { volumes: [], mounts: [] };
  const { persistentVolumeClaim, newClaim } = spec.target;
  const shared = claimName === (persistentVolumeClaim?.claimName ?? newClaim?.name);
  return {
    // Read-only, so that neither kubelet nor container runtime changes the volume.
    volumes: shared ? [] : [{ name: 'archive', persistentVolumeClaim: { claimName, readOnly: true } }],
    mounts: [{ name: shared ? TARGET_VOLUME : 'archive', mountPath: ARCHIVE_MOUNT, readOnly: true }],
  };
}

interface JobParts {
  readonly component: string;
  readonly pod: Pick<V1PodSpec, 'initContainers' | 'containers' | 'volumes'>;
  readonly settings: JobSettings;
  readonly elevated: boolean;
  readonly placement?: Placement | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly notRetried: readonly ExitCode[];
}

function jobOf(
  restore: KmRestore,
  { component, pod, settings, elevated, placement, labels: more, notRetried }: JobParts,
): NewJob {
  const { name, namespace, uid } = restore.metadata;
  const template = restore.spec.podTemplate ?? {};
  const annotations = { ...template.annotations, 'kubectl.kubernetes.io/default-container': CONTAINER };
  const labels = {
    ...template.labels,
    ...more,
    [LABELS.managedBy]: FIELD_MANAGER,
    [LABELS.name]: 'km-backup',
    [LABELS.component]: component,
    [LABELS.restore]: labelValue(name),
    [LABELS.restoreUid]: uid,
  };
  return {
    metadata: {
      name: jobName(`${name}-${component}`, `${uid}/${component}`),
      namespace,
      labels,
      annotations,
      ownerReferences: [{ apiVersion: API_VERSION, kind: 'KmRestore', name, uid, controller: true }],
    },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: 2,
      podFailurePolicy: podFailurePolicy(notRetried, pod.initContainers && SCRIPT_CONTAINER),
      template: {
        metadata: { labels, annotations },
        spec: {
          ...podBase(settings, template, placement),
          terminationGracePeriodSeconds: 60,
          securityContext: identityOf(
            { podTemplate: { ...template, elevated } },
            restore.status?.identity,
            settings,
          ).securityContext,
          ...pod,
        },
      },
    },
  };
}

const DEFAULT_RESOURCES: V1ResourceRequirements = { requests: { cpu: '100m', memory: '128Mi' } };

const container = (settings: JobSettings, elevated: boolean): Omit<V1Container, 'args' | 'volumeMounts'> => ({
  name: CONTAINER,
  image: settings.image,
  imagePullPolicy: settings.imagePullPolicy,
  terminationMessagePolicy: 'FallbackToLogsOnError',
  resources: DEFAULT_RESOURCES,
  securityContext: containerSecurity(elevated ? 'restore' : undefined),
});

/**
 * Exit codes after which a Job is over. Where nobody waits for the files, or the program has retried by itself, every
 * failure ends it. Lost pods are replaced in any case.
 */
export function notRetriedIn({ spec }: KmRestore, kind: RestoreJobKind): ExitCode[] {
  const once = kind === 'find' || spec.target.scratch !== undefined;
  return [...(once ? [ExitCode.failure] : []), ...notRetried('restore')];
}

/** A script has exit codes of its own: 7 is that of curl if a server does not answer yet. */
const NOT_RETRIED_IN_SCRIPTS = [ExitCode.usage, ExitCode.verification];

/** The archive is put on the node's disk before it is unpacked: the scheduler finds a node with room for it. */
function resourcesOf({ status, spec }: KmRestore, kind: RestoreJobKind): V1ResourceRequirements {
  const base = (spec.podTemplate?.resources ?? DEFAULT_RESOURCES) as V1ResourceRequirements;
  const { sizeBytes } = status?.resolved?.archive ?? {};
  if (kind !== 'stage' || !spec.source.location || sizeBytes === undefined) return base;
  const storage = { 'ephemeral-storage': String(sizeBytes + WORK_RESERVE_BYTES) };
  return { ...base, requests: { ...storage, ...base.requests } };
}

/**
 * The Job of one phase of a restore: `km-backup restore` with the request's id, so that it may run again.
 * @param location that of `spec.source.location`, if the Job needs it
 */
export function buildRestoreJob(
  restore: KmRestore,
  kind: RestoreJobKind,
  settings: RestoreJobSettings,
  placement: Placement | undefined,
  location: KmBackupLocation | undefined,
): NewJob {
  const access = location && needsLocation(restore, kind) ? accessTo(location, true) : undefined;
  const [target, source] = [targetVolume(restore, kind), sourceVolumes(restore, access)];
  const elevated = isElevated(restore);
  const mount = target.mounts[0] ?? { name: TARGET_VOLUME, mountPath: TARGET_MOUNT };
  return jobOf(restore, {
    component: kind,
    settings,
    elevated,
    placement,
    labels: access?.labels,
    notRetried: notRetriedIn(restore, kind),
    pod: withScript(
      restore,
      kind,
      {
        containers: [
          {
            ...container(settings, elevated),
            command: ['/app/bin/km-backup'],
            args: restoreArguments(restore, kind, access).map(literal),
            ...(access && { env: [...access.env] }),
            resources: resourcesOf(restore, kind),
            volumeMounts: [...source.mounts, ...target.mounts],
          },
        ],
        volumes: [...target.volumes, ...source.volumes],
      },
      { mount, base: container(settings, false) },
    ),
  });
}

/** Names the Job of a `job` step among the Jobs of its restore. */
export const stepJobKey = (_restore: KmRestore, { name }: Step): string => `step-${name}`;

/** The Job of a `job` step: a script of a ConfigMap, never elevated, without the volumes of the restore. */
export function buildStepJob(restore: KmRestore, step: Step, settings: RestoreJobSettings): NewJob {
  const { configMapKeyRef, image } = step.job!;
  const { name, key } = configMapKeyRef;
  return jobOf(restore, {
    component: stepJobKey(restore, step),
    settings,
    elevated: false,
    notRetried: NOT_RETRIED_IN_SCRIPTS,
    pod: {
      containers: [
        {
          ...container(settings, false),
          ...(image !== undefined && { image }),
          command: [`${SCRIPT_MOUNT}/${key}`],
          volumeMounts: [{ name: 'script', mountPath: SCRIPT_MOUNT, readOnly: true }],
        },
      ],
      volumes: [{ name: 'script', configMap: { name, defaultMode: 0o555, items: [{ key, path: key }] } }],
    },
  });
}
