/** Builds the Jobs of a restore. Pure. */
import type { V1Container, V1PodSpec, V1ResourceRequirements, V1Volume } from '@kubernetes/client-node';
import { API_VERSION, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { isElevated, type KmRestore } from '../../api/restore.ts';
import type { Step } from '../../api/step.ts';
import { containerSecurity } from '../backup/elevated.ts';
import { identityOf } from '../backup/identity.ts';
import type { JobSettings } from '../backup/job.ts';
import type { Placement } from '../backup/placement.ts';
import { CONTAINER, jobName, labelValue } from '../naming.ts';
import type { NewJob } from '../plan.ts';
import type { RestoreJobKind } from './observed.ts';

export interface RestoreJobSettings extends JobSettings {
  /** Images that `job` steps may name, besides the operator's own. */
  readonly stepImages: readonly string[];
}

const ARCHIVE_MOUNT = '/archive';
const TARGET_MOUNT = '/target';
const SCRIPT_MOUNT = '/script';

const option = (name: string, value: string | number | undefined) =>
  value === undefined ? [] : [`--${name}=${value}`];

/** The folder to restore, as the pod sees it. */
function targetPath({ spec }: KmRestore): string {
  const subPath = spec.target.persistentVolumeClaim?.subPath;
  return subPath === undefined ? TARGET_MOUNT : `${TARGET_MOUNT}/${subPath}`;
}

function archivePath({ status }: KmRestore): string {
  const { path, name } = status!.resolved!.archive;
  return [ARCHIVE_MOUNT, path, name].filter((part) => part !== '').join('/');
}

/** Every option as `--name=value`, so that no value is ever taken for an option. */
export function restoreArguments(restore: KmRestore, kind: RestoreJobKind): string[] {
  const { spec, status, metadata } = restore;
  const { archive } = status!.resolved!;
  const common = [
    'restore',
    ...option('id', metadata.uid),
    ...option('result-file', '/dev/termination-log'),
    '--json',
  ];
  const target = targetPath(restore);
  if (kind === 'rollback' || kind === 'commit' || kind === 'discard') return [...common, `--${kind}`, target];
  const pinned = [
    ...option('expect-manifest', archive.manifestSha256),
    ...(archive.manifestSha256 === undefined ? option('expect-sha256', archive.sha256) : []),
  ];
  const what = [
    ...pinned,
    ...(isElevated(restore) ? ['--preserve-setid'] : []),
    ...(spec.paths ?? []).flatMap((path) => option('path', path)),
    ...Object.entries(spec.checks ?? {}).flatMap(([check, patterns]) =>
      (patterns ?? []).flatMap((pattern) => option(`check-${check}`, pattern)),
    ),
  ];
  const paths = [archivePath(restore), target];
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

function volumesOf(
  restore: KmRestore,
  kind: RestoreJobKind,
): { volumes: V1Volume[]; mounts: V1Container['volumeMounts'] } {
  const { spec, status } = restore;
  const { claimName: from } = status!.resolved!.archive;
  const { persistentVolumeClaim, newClaim, scratch } = spec.target;
  const to = persistentVolumeClaim?.claimName ?? newClaim?.name;
  const readOnly = kind === 'plan';
  if (scratch) {
    const { storageClassName, size } = scratch;
    return {
      volumes: [
        { name: 'archive', persistentVolumeClaim: { claimName: from, readOnly: true } },
        {
          name: 'target',
          ephemeral: {
            volumeClaimTemplate: {
              spec: {
                accessModes: ['ReadWriteOnce'],
                ...(storageClassName && { storageClassName }),
                resources: { requests: { storage: size } },
              },
            },
          },
        },
      ],
      mounts: [
        { name: 'archive', mountPath: ARCHIVE_MOUNT, readOnly: true },
        { name: 'target', mountPath: TARGET_MOUNT },
      ],
    };
  }
  const shared = to === from;
  return {
    volumes: [
      // Read-only where nothing is written, so that neither kubelet nor container runtime changes the volume.
      { name: 'target', persistentVolumeClaim: { claimName: to!, ...(readOnly && { readOnly }) } },
      ...(shared ? [] : [{ name: 'archive', persistentVolumeClaim: { claimName: from, readOnly: true } }]),
    ],
    mounts: [
      { name: shared ? 'target' : 'archive', mountPath: ARCHIVE_MOUNT, readOnly: true },
      { name: 'target', mountPath: TARGET_MOUNT, ...(readOnly && { readOnly }) },
    ],
  };
}

/** The kubelet expands `$(NAME)` in arguments; doubling every `$` makes them literal. */
const literal = (argument: string) => argument.replaceAll('$', '$$$$');

function jobOf(
  restore: KmRestore,
  component: string,
  pod: Pick<V1PodSpec, 'containers' | 'volumes'>,
  elevated: boolean,
  placement: Placement | undefined,
): NewJob {
  const { name, namespace, uid } = restore.metadata;
  const labels = {
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
      ownerReferences: [{ apiVersion: API_VERSION, kind: 'KmRestore', name, uid, controller: true }],
    },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: 2,
      podFailurePolicy: {
        rules: [
          // 2 wrong arguments, 5 corrupt archive: trying again at once would change nothing.
          { action: 'FailJob', onExitCodes: { containerName: CONTAINER, operator: 'In', values: [2, 5] } },
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        ],
      },
      template: {
        metadata: { labels, annotations: { 'kubectl.kubernetes.io/default-container': CONTAINER } },
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 60,
          securityContext: identityOf(
            { podTemplate: { ...restore.spec.podTemplate, elevated } },
            restore.status?.identity,
          ).securityContext,
          ...(placement?.nodeName && {
            affinity: {
              nodeAffinity: {
                requiredDuringSchedulingIgnoredDuringExecution: {
                  nodeSelectorTerms: [
                    { matchFields: [{ key: 'metadata.name', operator: 'In', values: [placement.nodeName] }] },
                  ],
                },
              },
            },
          }),
          ...(placement &&
            placement.tolerations.length > 0 && {
              tolerations: placement.tolerations as NonNullable<V1PodSpec['tolerations']>,
            }),
          ...pod,
        },
      },
    },
  };
}

const container = (settings: JobSettings, elevated: boolean): Omit<V1Container, 'args' | 'volumeMounts'> => ({
  name: CONTAINER,
  image: settings.image,
  imagePullPolicy: settings.imagePullPolicy,
  terminationMessagePolicy: 'FallbackToLogsOnError',
  resources: { requests: { cpu: '100m', memory: '128Mi' } } as V1ResourceRequirements,
  securityContext: containerSecurity(elevated ? 'restore' : undefined),
});

/** The Job of one phase of a restore: `km-backup restore` with the request's id, so that it may run again. */
export function buildRestoreJob(
  restore: KmRestore,
  kind: RestoreJobKind,
  settings: RestoreJobSettings,
  placement: Placement | undefined,
): NewJob {
  const { volumes, mounts } = volumesOf(restore, kind);
  const elevated = isElevated(restore);
  return jobOf(
    restore,
    kind,
    {
      containers: [
        {
          ...container(settings, elevated),
          command: ['/app/bin/km-backup'],
          args: restoreArguments(restore, kind).map(literal),
          volumeMounts: mounts ?? [],
        },
      ],
      volumes,
    },
    elevated,
    placement,
  );
}

/** Names the Job of a `job` step among the Jobs of its restore. */
export const stepJobKey = (_restore: KmRestore, { name }: Step): string => `step-${name}`;

/** The Job of a `job` step: a script of a ConfigMap, never elevated, without the volumes of the restore. */
export function buildStepJob(restore: KmRestore, step: Step, settings: RestoreJobSettings): NewJob {
  const { configMapKeyRef, image } = step.job!;
  const { name, key } = configMapKeyRef;
  return jobOf(
    restore,
    stepJobKey(restore, step),
    {
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
    false,
    undefined,
  );
}
