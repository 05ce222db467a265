/** The Job whose pod reads archives where they are: `restricted`, without a token, and gone by itself. Pure. */
import type { KmBackup, KmBackupStatus } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { IDENTITY_KEY, type KmBackupLocation } from '../api/location.ts';
import { API_VERSION, LABELS } from '../api/names.ts';
import { identityOf } from '../operator/backup/identity.ts';
import type { Placement } from '../operator/backup/placement.ts';
import { accessTo, type LocationAccess } from '../operator/location/access.ts';
import { CONTAINER } from './logs.ts';
import { generatedName } from './run-backup.ts';

/** The image of the operator's Jobs, and how to pull it. */
export interface JobImage {
  readonly image: string;
  readonly imagePullPolicy?: string | undefined;
  readonly imagePullSecrets?: readonly { readonly name: string }[] | undefined;
}

/** A location, and the Secret with the identities that decrypt what lies there. */
export interface LocationSource {
  readonly location: KmBackupLocation;
  readonly identitySecret: string | undefined;
}

/** What the pod sees of the archives. */
export type ReaderVolumes = Pick<LocationAccess, 'env' | 'volumes' | 'mounts' | 'labels'>;

export interface ReaderPlan {
  /** The Job is deleted with it at the latest. */
  readonly owner: KmBackup | KmBackupSchedule;
  /** Says which user reads; undefined if it was deleted. */
  readonly schedule: KmBackupSchedule | undefined;
  readonly image: JobImage;
  readonly placement: Placement;
  readonly seen: ReaderVolumes;
}

export type Archive = NonNullable<KmBackupStatus['archive']>;

/** A reader that nobody ends ends itself. */
export const LONGEST_SECONDS = 3600;
/** A folder of the pod to unpack into. */
export const WORK = '/work';

/** Where the pod sees a claim. */
export const mountOf = (claims: readonly string[], claimName: string): string =>
  `/archives/${claims.indexOf(claimName)}`;

export function claimsOf(backups: readonly KmBackup[]): string[] {
  return [...new Set(backups.flatMap(({ status }) => status?.archive?.claimName ?? []))];
}

/** The archive as the pod sees it. */
export function archivePath(backups: readonly KmBackup[], { claimName, path, name }: Archive): string {
  return [mountOf(claimsOf(backups), claimName), path, name].filter((part) => part !== '').join('/');
}

const work = {
  volume: { name: 'work', emptyDir: {} },
  mount: { name: 'work', mountPath: WORK },
};

/** The claims that the archives of the backups lie on. */
export function claimVolumes(backups: readonly KmBackup[]): ReaderVolumes {
  const claims = claimsOf(backups);
  const nameOf = (index: number) => `archives-${index}`;
  return {
    env: [],
    labels: {},
    volumes: [
      ...claims.map((claimName, index) => ({
        name: nameOf(index),
        persistentVolumeClaim: { claimName, readOnly: true },
      })),
      work.volume,
    ],
    mounts: [
      ...claims.map((claimName, index) => ({
        name: nameOf(index),
        mountPath: mountOf(claims, claimName),
        readOnly: true,
      })),
      work.mount,
    ],
  };
}

const IDENTITY_MOUNT = '/identity';

/** How the pod reaches a location, and the arguments with which km-backup does. */
export function locationVolumes({ location, identitySecret }: LocationSource): ReaderVolumes & {
  readonly url: string;
  readonly flags: readonly string[];
} {
  // It brings a folder to work in.
  const access = accessTo(location, true);
  if (identitySecret === undefined) return access;
  const items = [{ key: IDENTITY_KEY, path: IDENTITY_KEY }];
  return {
    ...access,
    flags: [...access.flags, `--identity=${IDENTITY_MOUNT}/${IDENTITY_KEY}`],
    volumes: [...access.volumes, { name: 'identity', secret: { secretName: identitySecret, items } }],
    mounts: [...access.mounts, { name: 'identity', mountPath: IDENTITY_MOUNT, readOnly: true }],
  };
}

export function readerJob({ owner, schedule, image, placement, seen }: ReaderPlan): object {
  const labels = {
    ...seen.labels,
    [LABELS.managedBy]: 'kubectl-km',
    [LABELS.name]: 'km-backup',
    [LABELS.component]: 'reader',
  };
  const { elevated: _, ...podTemplate } = schedule?.spec.podTemplate ?? {};
  const { securityContext } = identityOf({ podTemplate }, schedule?.status?.sourceIdentity);
  const { tolerations = [], nodeSelector } = podTemplate;
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: {
      generateName: generatedName(owner.metadata.name, 'read'),
      labels,
      ownerReferences: [
        { apiVersion: API_VERSION, kind: owner.kind, name: owner.metadata.name, uid: owner.metadata.uid },
      ],
    },
    spec: {
      backoffLimit: 0,
      activeDeadlineSeconds: LONGEST_SECONDS,
      ttlSecondsAfterFinished: 0,
      template: {
        metadata: { labels, annotations: { 'kubectl.kubernetes.io/default-container': CONTAINER } },
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          terminationGracePeriodSeconds: 0,
          securityContext,
          ...(image.imagePullSecrets?.length && { imagePullSecrets: image.imagePullSecrets }),
          ...(nodeSelector && { nodeSelector }),
          ...(placement.nodeName && { affinity: onNode(placement.nodeName) }),
          tolerations: [...tolerations, ...placement.tolerations],
          containers: [
            {
              name: CONTAINER,
              image: image.image,
              ...(image.imagePullPolicy && { imagePullPolicy: image.imagePullPolicy }),
              // The programs are run in it one by one.
              command: ['sleep', `${LONGEST_SECONDS}`],
              resources: { requests: { cpu: '100m', memory: '128Mi' } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              ...(seen.env.length > 0 && { env: seen.env }),
              volumeMounts: seen.mounts,
            },
          ],
          volumes: seen.volumes,
        },
      },
    },
  };
}

const onNode = (name: string) => ({
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [name] }] }],
    },
  },
});
