import type { V1Container, V1PodSpec, V1ResourceRequirements } from '@kubernetes/client-node';
import type { KmBackup } from '../../api/backup.ts';
import type { KmBackupSchedule, KmBackupScheduleSpec, SourceIdentity } from '../../api/backup-schedule.ts';
import { ANNOTATIONS, API_VERSION, FIELD_MANAGER, LABELS } from '../../api/names.ts';
import { notRetried } from '../../api/reasons.ts';
import { destinationOf } from '../../api/schedule-claims.ts';
import { literal, option, retentionOptions } from '../arguments.ts';
import { CONTAINER, jobName, labelValue } from '../naming.ts';
import type { NewJob } from '../plan.ts';
import { podBase } from '../pod.ts';
import { podFailurePolicy } from '../pod-failure-policy.ts';
import { deadlinesText, destinationText } from '../workloads.ts';
import { containerSecurity } from './elevated.ts';
import { identityOf } from './identity.ts';
import type { Placement } from './placement.ts';
import { LONGEST_BACKOFF_SECONDS } from './waits.ts';

/** What the installation decides about every Job. */
export interface JobSettings {
  image: string;
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Secrets of the Job's namespace; none: those of its default service account. */
  imagePullSecrets?: readonly string[];
  allowScripts: boolean;
  /** False: where neither the spec nor a pod names a user, the platform chooses it. */
  defaultUser?: boolean;
  /** Namespaces whose Jobs may be elevated. */
  elevatedNamespaces?: readonly string[];
}

const SOURCE_MOUNT = '/source';
const DESTINATION_MOUNT = '/destination';
const SCRIPT_MOUNT = '/script';
const NOTIFY_MOUNT = '/notify';
const LOCK_WAIT_SECONDS = 3600;

function programArguments(backup: KmBackup, schedule: KmBackupSchedule): string[] {
  const { source, retention, compression, script, notifications = [] } = schedule.spec;
  const { subPath } = source.persistentVolumeClaim;
  const common = [
    ...option('source', subPath === undefined ? SOURCE_MOUNT : `${SOURCE_MOUNT}/${subPath}`),
    ...option('source-volume', SOURCE_MOUNT),
    ...option('destination', `${DESTINATION_MOUNT}/${destinationOf(schedule.spec).path}`),
    ...option('destination-volume', DESTINATION_MOUNT),
    ...option('series', `${schedule.metadata.namespace}/${schedule.metadata.name}`),
    ...retentionOptions(retention),
    ...option('lock-wait', LOCK_WAIT_SECONDS),
    ...option('run-id', `${schedule.metadata.namespace}/${backup.metadata.name}`),
    ...notifications.flatMap(({ name, webhook }) =>
      option(webhook ? 'notify-webhook' : 'notify-ping', `${NOTIFY_MOUNT}/${name}`),
    ),
    ...option('result-file', '/dev/termination-log'),
  ];
  if (script) return ['run-script', ...common, `${SCRIPT_MOUNT}/${script.configMapKeyRef.key}`];
  return [
    'create',
    ...common,
    ...option('compression', compression.format),
    ...option('level', compression.level),
    ...(source.exclude ?? []).flatMap((pattern) => option('exclude', pattern)),
    ...(source.allowEmpty ? ['--allow-empty'] : []),
    ...option('guard-max-shrink-percent', schedule.spec.guard?.maxShrinkPercent),
    ...option('guard-max-change-percent', schedule.spec.guard?.maxChangePercent),
    ...(schedule.status?.suspicions?.approvedArchives ?? []).flatMap((name) => option('approve', name)),
    ...option('progress', 'json'),
  ];
}

function volumes(spec: KmBackupScheduleSpec): Pick<V1PodSpec, 'volumes'> & Pick<V1Container, 'volumeMounts'> {
  const { claimName } = spec.source.persistentVolumeClaim;
  const destination = destinationOf(spec).claimName;
  const shared = destination === claimName;
  const script = spec.script?.configMapKeyRef;
  const notifications = spec.notifications ?? [];
  return {
    volumes: [
      // Read-only if only the source is on it, so that neither kubelet nor container runtime changes the volume.
      { name: 'source', persistentVolumeClaim: { claimName, ...(!shared && { readOnly: true }) } },
      ...(shared ? [] : [{ name: 'destination', persistentVolumeClaim: { claimName: destination } }]),
      ...(script
        ? [
            {
              name: 'script',
              configMap: {
                name: script.name,
                defaultMode: 0o555,
                items: [{ key: script.key, path: script.key }],
              },
            },
          ]
        : []),
      ...notifications.map(({ name, webhook, ping }) => ({
        name: `notify-${name}`,
        // Optional: a Secret that is missing must not keep the run from starting.
        secret: { secretName: (webhook ?? ping)!.secretRef.name, optional: true, defaultMode: 0o444 },
      })),
    ],
    volumeMounts: [
      { name: 'source', mountPath: SOURCE_MOUNT, readOnly: true },
      { name: shared ? 'source' : 'destination', mountPath: DESTINATION_MOUNT },
      ...(script ? [{ name: 'script', mountPath: SCRIPT_MOUNT, readOnly: true }] : []),
      ...notifications.map(({ name }) => ({
        name: `notify-${name}`,
        mountPath: `${NOTIFY_MOUNT}/${name}`,
        readOnly: true,
      })),
    ],
  };
}

const MAX_SECONDS = 2_147_483_647;

/**
 * The longest that all attempts together may take: each waits for its pod, for the start, and runs. The operator ends a
 * run at the deadline of each of these. This limit ends a Job while no operator runs, or whose pods are evicted repeatedly.
 */
function longestSeconds(spec: KmBackupScheduleSpec): number {
  const each = 2 * spec.startDeadlineSeconds + spec.activeDeadlineSeconds + LONGEST_BACKOFF_SECONDS;
  return Math.min(MAX_SECONDS, (spec.backoffLimit + 1) * each);
}

/**
 * The Job of one run. It passes Pod Security `restricted` (`baseline` if it is elevated), holds no API token, and takes
 * from the schedule nothing but data: the image, the command and the identity are the operator's.
 */
export function buildJob(
  backup: KmBackup,
  schedule: KmBackupSchedule,
  settings: JobSettings,
  placement: Placement,
  source?: SourceIdentity,
): NewJob {
  const { spec } = schedule;
  const template = spec.podTemplate ?? {};
  const labels = {
    ...template.labels,
    [LABELS.managedBy]: FIELD_MANAGER,
    [LABELS.name]: 'km-backup',
    [LABELS.component]: 'backup',
    [LABELS.schedule]: labelValue(schedule.metadata.name),
    [LABELS.scheduleUid]: schedule.metadata.uid,
    [LABELS.backup]: labelValue(backup.metadata.name),
    ...(spec.notifications?.length && { [LABELS.notifies]: 'true' }),
  };
  const annotations = {
    ...template.annotations,
    'kubectl.kubernetes.io/default-container': CONTAINER,
  };
  const { volumes: podVolumes, volumeMounts } = volumes(spec);
  const { securityContext, identity } = identityOf(spec, source, settings);
  const resources = (template.resources ?? {
    requests: { cpu: '100m', memory: '128Mi' },
  }) as V1ResourceRequirements;
  return {
    metadata: {
      name: jobName(backup.metadata.name, backup.metadata.uid),
      namespace: backup.metadata.namespace,
      labels,
      annotations: {
        ...annotations,
        [ANNOTATIONS.destination]: destinationText(destinationOf(spec)),
        [ANNOTATIONS.deadlines]: deadlinesText({
          startSeconds: spec.startDeadlineSeconds,
          activeSeconds: spec.activeDeadlineSeconds,
        }),
        [ANNOTATIONS.identity]: JSON.stringify(identity),
      },
      ownerReferences: [
        {
          apiVersion: API_VERSION,
          kind: 'KmBackup',
          name: backup.metadata.name,
          uid: backup.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: {
      completions: 1,
      parallelism: 1,
      backoffLimit: spec.backoffLimit,
      activeDeadlineSeconds: longestSeconds(spec),
      podFailurePolicy: podFailurePolicy(notRetried('backup')),
      template: {
        metadata: { labels, annotations },
        spec: {
          ...podBase(settings, template, placement),
          terminationGracePeriodSeconds: 30,
          securityContext,
          containers: [
            {
              name: CONTAINER,
              image: settings.image,
              imagePullPolicy: settings.imagePullPolicy,
              command: ['/app/bin/km-backup'],
              args: programArguments(backup, schedule).map(literal),
              terminationMessagePolicy: 'FallbackToLogsOnError',
              resources,
              securityContext: containerSecurity(template.elevated ? 'backup' : undefined),
              volumeMounts: volumeMounts ?? [],
            },
          ],
          volumes: podVolumes ?? [],
        },
      },
    },
  };
}
