/** Builds the Jobs that check a location and that copy archives to it. Pure. */
import type { V1Container, V1PodSpec, V1ResourceRequirements } from '@kubernetes/client-node';
import type { KmBackupSchedule, KmBackupScheduleSpec, SourceIdentity } from '../../api/backup-schedule.ts';
import type { CopySpec } from '../../api/copy.ts';
import type { KmBackupLocation } from '../../api/location.ts';
import type { OwnerReference } from '../../api/metadata.ts';
import { ANNOTATIONS, API_VERSION, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { destinationOf } from '../../api/schedule-claims.ts';
import { literal, option, retentionOptions } from '../arguments.ts';
import { containerSecurity } from '../backup/elevated.ts';
import { identityOf } from '../backup/identity.ts';
import type { JobSettings } from '../backup/job.ts';
import type { Placement } from '../backup/placement.ts';
import { CONTAINER, jobName, labelValue } from '../naming.ts';
import type { NewJob } from '../plan.ts';
import { podBase } from '../pod.ts';
import { podFailurePolicy } from '../pod-failure-policy.ts';
import { accessTo, claimOfLocation, type LocationAccess, storingFlags } from './access.ts';

export const CHECK = 'location-check';
export const COPY = 'copy';

const DESTINATION_MOUNT = '/destination';
/** A check says soon that the location is away; a copy is tried again by the operator. */
const CHECK_RETRY_SECONDS = 60;
const COPY_RETRY_SECONDS = 120;
/** Schedules may share a folder, and one copy at a time reads it. */
const LOCK_WAIT_SECONDS = 3600;
const CHECK_SECONDS = 900;

interface JobParts {
  readonly owner: KmBackupSchedule | KmBackupLocation;
  readonly location: KmBackupLocation;
  readonly component: typeof CHECK | typeof COPY;
  /** Number of the Job among those of its owner and location. */
  readonly attempt: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly template: NonNullable<KmBackupScheduleSpec['podTemplate']>;
  readonly source: SourceIdentity | undefined;
  readonly placement: Placement;
  readonly arguments: readonly string[];
  readonly access: LocationAccess;
  readonly volumes: NonNullable<V1PodSpec['volumes']>;
  readonly mounts: NonNullable<V1Container['volumeMounts']>;
  readonly activeSeconds: number;
}

/** The name follows from the attempt, so that the same attempt never has two Jobs. */
function nameOf({ owner, location, component, attempt }: JobParts): string {
  const { name, uid } = owner.metadata;
  const words = component === CHECK ? `${name}-check-${attempt}` : `${name}-copy-${attempt}`;
  return jobName(
    component === CHECK ? words : `${words}.${location.metadata.name}`,
    `${uid}/${location.metadata.name}/${component}/${attempt}`,
  );
}

function jobOf(parts: JobParts, settings: JobSettings): NewJob {
  const { owner, location, component, attempt, template, placement, access } = parts;
  const { name, namespace, uid } = owner.metadata;
  const labels = {
    ...template.labels,
    ...parts.labels,
    [LABELS.managedBy]: FIELD_MANAGER,
    [LABELS.name]: 'km-backup',
    [LABELS.component]: component,
    ...access.labels,
  };
  const annotations = { ...template.annotations, 'kubectl.kubernetes.io/default-container': CONTAINER };
  const reference: OwnerReference = {
    apiVersion: API_VERSION,
    kind: owner.kind,
    name,
    uid,
    controller: true,
  };
  return {
    metadata: {
      name: nameOf(parts),
      namespace,
      labels,
      annotations: {
        ...annotations,
        ...parts.annotations,
        [ANNOTATIONS.attempt]: String(attempt),
        [ANNOTATIONS.location]: location.metadata.name,
      },
      ownerReferences: [reference],
    },
    spec: {
      completions: 1,
      parallelism: 1,
      // The operator tries again, after a time that grows.
      backoffLimit: 0,
      activeDeadlineSeconds: parts.activeSeconds,
      podFailurePolicy: podFailurePolicy([]),
      template: {
        metadata: { labels, annotations },
        spec: {
          ...podBase(settings, template, placement),
          terminationGracePeriodSeconds: 30,
          securityContext: identityOf({ podTemplate: template }, parts.source, settings).securityContext,
          containers: [
            {
              name: CONTAINER,
              image: settings.image,
              imagePullPolicy: settings.imagePullPolicy,
              command: ['/app/bin/km-backup'],
              args: [...parts.arguments, ...access.flags, access.url].map(literal),
              env: [...access.env],
              terminationMessagePolicy: 'FallbackToLogsOnError',
              resources: (template.resources ?? {
                requests: { cpu: '100m', memory: '128Mi' },
              }) as V1ResourceRequirements,
              // Archives of an elevated run belong to root.
              securityContext: containerSecurity(template.elevated ? 'backup' : undefined),
              volumeMounts: [...parts.mounts, ...access.mounts],
            },
          ],
          volumes: [...parts.volumes, ...access.volumes],
        },
      },
    },
  };
}

/** The Job that tries each verb in a location, and makes the location where there is none yet. */
export function buildCheckJob(
  location: KmBackupLocation,
  settings: JobSettings,
  placement: Placement,
): NewJob {
  const { spec, status, metadata } = location;
  const expected = spec.expectedId ?? status?.locationId;
  return jobOf(
    {
      owner: location,
      location,
      component: CHECK,
      attempt: (status?.checks ?? 0) + 1,
      annotations: { [ANNOTATIONS.generation]: String(metadata.generation ?? 0) },
      labels: {},
      template: spec.podTemplate ?? {},
      source: undefined,
      placement,
      access: accessTo(location, false),
      arguments: [
        'location',
        'check',
        ...(expected === undefined ? ['--init'] : option('expect-id', expected)),
        '--usage',
        ...option('retry-seconds', CHECK_RETRY_SECONDS),
        ...option('result-file', '/dev/termination-log'),
      ],
      volumes: [],
      mounts: [],
      activeSeconds: CHECK_SECONDS,
    },
    settings,
  );
}

export interface CopyJob {
  readonly schedule: KmBackupSchedule;
  readonly spec: CopySpec;
  readonly location: KmBackupLocation;
  readonly attempt: number;
  /** Name of the KmBackup whose archive is to be copied. */
  readonly backup: string;
  readonly placement: Placement;
  readonly source: SourceIdentity | undefined;
}

/** The Job that copies a schedule's archives. It has the claim of the archives and not that of the source. */
export function buildCopyJob(copy: CopyJob, settings: JobSettings): NewJob {
  const { schedule, location, spec, attempt, backup } = copy;
  const { claimName, path } = destinationOf(schedule.spec);
  const { locationId = '' } = location.status ?? {};
  const retention = spec.retention ?? schedule.spec.retention;
  const access = accessTo(location, false);
  const isShared = claimOfLocation(location) === claimName;
  return jobOf(
    {
      owner: schedule,
      location,
      component: COPY,
      attempt,
      annotations: { [ANNOTATIONS.copyOf]: backup, [ANNOTATIONS.locationId]: locationId },
      labels: {
        [LABELS.schedule]: labelValue(schedule.metadata.name),
        [LABELS.scheduleUid]: schedule.metadata.uid,
      },
      template: schedule.spec.podTemplate ?? {},
      source: copy.source,
      placement: copy.placement,
      access,
      arguments: [
        'copy',
        '--missing',
        ...option('destination', `${DESTINATION_MOUNT}/${path}`),
        ...option('series', `${schedule.metadata.namespace}/${schedule.metadata.name}`),
        ...storingFlags(location),
        ...option('expect-id', locationId),
        ...retentionOptions(retention),
        ...option('lock-wait', LOCK_WAIT_SECONDS),
        ...option('retry-seconds', COPY_RETRY_SECONDS),
        ...option('result-file', '/dev/termination-log'),
        ...option('progress', 'json'),
      ],
      volumes: isShared ? [] : [{ name: 'archives', persistentVolumeClaim: { claimName } }],
      mounts: [{ name: isShared ? 'location' : 'archives', mountPath: DESTINATION_MOUNT }],
      activeSeconds: Math.min(
        2_147_483_647,
        schedule.spec.startDeadlineSeconds + schedule.spec.activeDeadlineSeconds,
      ),
    },
    settings,
  );
}
