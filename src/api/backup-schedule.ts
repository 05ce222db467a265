import { z } from 'zod';
import { Cron, TimeZone } from './cadence.ts';
import { CopySpecs, ScheduleCopyStatus } from './copy.ts';
import { Drill, DrillStatus } from './drill.ts';
import { Guard, ScheduleSuspicions } from './guard.ts';
import type { ObjectMeta } from './metadata.ts';
import { Notifications } from './notification.ts';
import { Affinity, NodeSelector, PodAnnotations, PodLabels, PodResources, Toleration } from './pod-fields.ts';
import { Retention } from './retention-fields.ts';
import { Conditions, RelativePath, ResourceName, rules, Time } from './schema.ts';

const int = (minimum: number, maximum = 2147483647) => z.int().min(minimum).max(maximum);

const ClaimReference = z.object({
  claimName: ResourceName.describe('PersistentVolumeClaim in the namespace of the schedule.'),
});

const Source = z
  .object({
    persistentVolumeClaim: ClaimReference.extend({
      subPath: RelativePath.optional().describe('Folder inside the claim to back up. Default: its root.'),
    }),
    exclude: z
      .array(z.string().min(1).max(1024))
      .max(100)
      .optional()
      .describe('Patterns of files and folders to leave out, relative to the source.'),
    allowEmpty: z
      .boolean()
      .optional()
      .describe(
        'Allows a source without files. By default that is a failure, because an unmounted volume looks the same.',
      ),
  })
  .describe('What to back up.');

const Destination = z
  .object({
    persistentVolumeClaim: ClaimReference.optional().describe(
      'Claim that holds the archives. Default: the claim of the source.',
    ),
    path: RelativePath.default('backups/archives').describe(
      'Folder for the archives inside the claim. Created if missing, never packed into an archive.',
    ),
  })
  .describe('Where the archives go.');

const Compression = z
  .object({
    format: z.enum(['gzip', 'zstd']).default('gzip').describe('gzip writes .tgz, zstd writes .tar.zst.'),
    level: int(1, 19).optional().describe('Default: 5 for gzip (1 to 12), 3 for zstd (1 to 19).'),
  })
  .meta(
    rules({
      rule: "!has(self.level) || !has(self.format) || self.format != 'gzip' || self.level <= 12",
      message: 'the level of gzip is 1 to 12',
      fieldPath: '.level',
    }),
  );

const SELinuxOptions = z.object({
  level: z.string().max(253).optional(),
  role: z.string().max(253).optional(),
  type: z.string().max(253).optional(),
  user: z.string().max(253).optional(),
});

export const PodTemplate = z
  .object({
    labels: PodLabels.optional().describe("Added to the Job and its pod. The operator's own labels win."),
    annotations: PodAnnotations.optional().describe('Added to the Job and its pod.'),
    resources: PodResources.optional(),
    nodeSelector: NodeSelector.optional(),
    affinity: Affinity.optional().describe(
      'As in a pod. If a claim is mounted on one node only, the operator adds that node.',
    ),
    tolerations: z.array(Toleration).max(32).optional(),
    priorityClassName: ResourceName.optional(),
    runAsUser: int(1)
      .optional()
      .describe(
        'User that reads the source and writes the destination; never 0. Default: the user of the pod that mounts the source claim, or of the last that did; 65532 where neither is known.',
      ),
    runAsGroup: int(1).optional().describe('Default: runAsUser, else the group of that pod.'),
    fsGroup: int(0)
      .optional()
      .describe(
        'Group that the kubelet gives to all files of a volume that the Job mounts for writing. Default: that of the pod that mounts the source claim; none without such a pod.',
      ),
    supplementalGroups: z
      .array(int(0))
      .max(64)
      .optional()
      .describe('Further groups of the process. Default: those of the pod that mounts the source claim.'),
    seLinuxOptions: SELinuxOptions.optional().describe(
      'Default: the level of the pod that mounts the source claim.',
    ),
    elevated: z
      .boolean()
      .optional()
      .describe(
        'Run as root with the few capabilities that files of many owners take: DAC_OVERRIDE to back up; CHOWN, DAC_OVERRIDE, FOWNER, FSETID and SETFCAP to restore. Only in namespaces that the chart lists in elevated.namespaces. Needs Pod Security baseline.',
      ),
  })
  .meta(
    rules({
      rule: '!has(self.elevated) || !self.elevated || (!has(self.runAsUser) && !has(self.runAsGroup))',
      message: 'elevated runs as user and group 0: leave runAsUser and runAsGroup out',
      fieldPath: '.elevated',
    }),
  )
  .describe('Settings of the pods. The operator alone decides image, command and service account.');

export const KmBackupScheduleSpec = z
  .object({
    suspend: z
      .boolean()
      .default(false)
      .describe('Starts no scheduled runs. Times that pass meanwhile are not caught up.'),
    intervalMinutes: int(1, 5_256_000)
      .default(720)
      .describe('Minutes between runs, counted from the creation of the schedule. Ignored when cron is set.'),
    cron: Cron.optional().describe(
      'Cron expression of 5 fields, or @daily and the like. `H` stands for a value hashed from the UID. Takes precedence over intervalMinutes.',
    ),
    timeZone: TimeZone.default('Etc/UTC').describe('IANA time zone in which cron is read.'),
    startingDeadlineSeconds: int(1)
      .optional()
      .describe(
        'A run that could not be created within this time counts as missed. Default: until the next scheduled time.',
      ),
    concurrencyPolicy: z
      .enum(['Forbid', 'Replace'])
      .default('Forbid')
      .describe('Forbid: a run waits for the earlier one to end. Replace: it ends the earlier one.'),
    source: Source,
    destination: Destination.prefault({}),
    retention: Retention.prefault({}),
    guard: Guard.optional(),
    copies: CopySpecs.optional(),
    notifications: Notifications.optional(),
    compression: Compression.prefault({}),
    script: z
      .object({
        configMapKeyRef: z.object({
          name: ResourceName,
          key: z
            .string()
            .max(253)
            .regex(/^[-._a-zA-Z0-9]+$/),
        }),
      })
      .optional()
      .describe(
        'Script to run instead of the built-in program. Only if the operator was installed with jobs.allowScripts=true.',
      ),
    startDeadlineSeconds: int(10)
      .default(600)
      .describe(
        'A run whose pod has not started by then (unschedulable, image not pulled, volume not mounted) has failed.',
      ),
    activeDeadlineSeconds: int(1).default(86_400).describe('A run that takes longer is ended and fails.'),
    backoffLimit: int(0, 100)
      .default(2)
      .describe('How often a failed pod is retried. Wrong configuration is not retried.'),
    successfulJobsHistoryLimit: int(0, 1000).default(3).describe('Finished Jobs (not archives) to keep.'),
    failedJobsHistoryLimit: int(0, 1000)
      .default(3)
      .describe('Failed Jobs and failed or skipped KmBackups to keep.'),
    podTemplate: PodTemplate.optional(),
    drill: Drill.optional(),
  })
  .meta(
    rules(
      {
        rule: "!has(self.source.persistentVolumeClaim.subPath) || (has(self.destination.persistentVolumeClaim) && self.destination.persistentVolumeClaim.claimName != self.source.persistentVolumeClaim.claimName) || !(self.destination.path in [self.source.persistentVolumeClaim.subPath, self.source.persistentVolumeClaim.subPath + '/'] || self.destination.path + '/' == self.source.persistentVolumeClaim.subPath)",
        message:
          'the archives must not replace the source: destination.path is the same folder as the source, on the same claim',
        fieldPath: '.destination.path',
      },
      {
        rule: '!has(self.script) || !has(self.podTemplate) || !has(self.podTemplate.elevated) || !self.podTemplate.elevated',
        message: 'a script cannot run elevated: leave podTemplate.elevated out',
        fieldPath: '.script',
      },
      {
        rule: '!has(self.drill) || !has(self.drill.from) || !has(self.drill.every) || (has(self.copies) && self.copies.exists(one, one.locationRef.name == self.drill.from.locationRef.name))',
        message:
          'drill.every with drill.from counts copies in that location: name it in copies, or use drill.cron',
        fieldPath: '.drill',
      },
    ),
  );
export type KmBackupScheduleSpec = z.output<typeof KmBackupScheduleSpec>;

const RunTotals = z.object({
  succeeded: z.int(),
  incomplete: z.int(),
  failed: z.int(),
  skipped: z.int(),
});
export type RunTotals = z.infer<typeof RunTotals>;

export const SourceIdentity = z.object({
  claimName: z.string(),
  pod: z.string(),
  runAsUser: z.int().optional(),
  runAsGroup: z.int().optional(),
  fsGroup: z.int().optional(),
  supplementalGroups: z.array(z.int()).optional(),
  seLinuxOptions: SELinuxOptions.optional(),
  note: z.string().optional().describe('Why the user of the pod was not taken, or which pods disagree.'),
});
/** The security context of the pod that mounts the source claim. */
export type SourceIdentity = z.infer<typeof SourceIdentity>;

export const KmBackupScheduleStatus = z.object({
  observedGeneration: z.int().optional(),
  conditions: Conditions.optional(),
  active: z.array(z.string()).optional().describe('KmBackups that have not finished.'),
  lastScheduleTime: Time.optional().describe('The latest scheduled time for which a run was created.'),
  lastSuccessfulTime: Time.optional().describe('When the newest complete archive was finished.'),
  lastFailureTime: Time.optional(),
  lastMissedTime: Time.optional().describe('The latest scheduled time that passed without a run.'),
  missedCountedTime: Time.optional().describe('When missed scheduled times were last counted.'),
  missedSlots: z.int().optional().describe('How many scheduled times passed without a run.'),
  nextScheduleTime: Time.optional(),
  settledUntil: Time.optional().describe(
    'Every scheduled time up to here has had its run or was counted as missed.',
  ),
  cadence: z
    .string()
    .optional()
    .describe('The schedule that settledUntil belongs to; `suspended` while suspended.'),
  cadenceSince: Time.optional().describe('Since when `cadence` applies. A success is due from then on.'),
  schedule: z.string().optional().describe('The schedule in words, for the printer column.'),
  lastBackup: z
    .object({
      name: z.string(),
      phase: z.string(),
      message: z.string().optional(),
      archive: z.string().optional(),
      sizeBytes: z.int().optional(),
      sha256: z.string().optional(),
      durationSeconds: z.number().optional(),
      sourceBytes: z.int().optional(),
      reusedBytes: z.int().optional(),
      warnings: z.int().optional(),
    })
    .optional(),
  lastSuccessfulBackup: z
    .object({
      name: z.string(),
      archive: z.string(),
      sizeBytes: z.int(),
      durationSeconds: z.number().optional(),
      pruned: z.int().describe('Archives that retention removed after it.'),
    })
    .optional(),
  suspicions: ScheduleSuspicions.optional(),
  archives: z
    .object({ count: z.int(), bytes: z.int() })
    .optional()
    .describe('Archives of this schedule on the destination, as the last run saw them.'),
  runs: RunTotals.optional().describe('Finished runs since the schedule was created.'),
  copies: z.array(ScheduleCopyStatus).optional().describe('The copies in each location of `spec.copies`.'),
  sourceIdentity: SourceIdentity.optional().describe(
    'Security context of the pod that mounts the source claim, as the last run saw it. Runs take what podTemplate does not say from there when no pod mounts the claim.',
  ),
  retentionDeletes: z
    .int()
    .optional()
    .describe('Archives removed by retention since the schedule was created.'),
  countedBackups: z
    .array(z.string())
    .optional()
    .describe(
      'UIDs of finished KmBackups that `runs` includes, in the order of counting. A few of them may no longer exist.',
    ),
  ...DrillStatus.shape,
});
export type KmBackupScheduleStatus = z.infer<typeof KmBackupScheduleStatus>;

export interface KmBackupSchedule {
  apiVersion: string;
  kind: 'KmBackupSchedule';
  metadata: ObjectMeta;
  spec: KmBackupScheduleSpec;
  status?: KmBackupScheduleStatus;
}
