/** The Job whose pod reads archives on their claims: `restricted`, without a token, and gone by itself. Pure. */
import type { KmBackup, KmBackupStatus } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { API_VERSION, LABELS } from '../api/names.ts';
import { identityOf } from '../operator/backup/identity.ts';
import type { Placement } from '../operator/backup/placement.ts';
import { CONTAINER } from './logs.ts';
import { generatedName } from './run-backup.ts';

/** The image of the operator's Jobs, and how to pull it. */
export interface JobImage {
  readonly image: string;
  readonly imagePullPolicy?: string | undefined;
  readonly imagePullSecrets?: readonly { readonly name: string }[] | undefined;
}

export interface ReaderPlan {
  /** The first one owns the Job: it is deleted with it at the latest. */
  readonly backups: readonly KmBackup[];
  /** Says which user reads; undefined if it was deleted. */
  readonly schedule: KmBackupSchedule | undefined;
  readonly image: JobImage;
  readonly placement: Placement;
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

export function readerJob({ backups, schedule, image, placement }: ReaderPlan): object {
  const [owner] = backups;
  const claims = claimsOf(backups);
  const labels = {
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
      generateName: generatedName(owner!.metadata.name, 'read'),
      labels,
      ownerReferences: [
        { apiVersion: API_VERSION, kind: 'KmBackup', name: owner!.metadata.name, uid: owner!.metadata.uid },
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
              volumeMounts: [
                ...claims.map((claimName, index) => ({
                  name: `archives-${index}`,
                  mountPath: mountOf(claims, claimName),
                  readOnly: true,
                })),
                { name: 'work', mountPath: WORK },
              ],
            },
          ],
          volumes: [
            ...claims.map((claimName, index) => ({
              name: `archives-${index}`,
              persistentVolumeClaim: { claimName, readOnly: true },
            })),
            { name: 'work', emptyDir: {} },
          ],
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
