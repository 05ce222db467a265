import { z } from 'zod';
import { PodTemplate, SourceIdentity } from './backup-schedule.ts';
import { Duration } from './duration.ts';
import type { ObjectMeta } from './metadata.ts';
import { ContentCheck, RestorePlan } from './restore-result.ts';
import { Conditions, exactlyOne, Quantity, RelativePath, ResourceName, rules, Time } from './schema.ts';
import { ContentChecks, Scratch } from './scratch.ts';
import { SCALABLE_KINDS, StepStatus, Steps, StoppedWorkload } from './step.ts';

const ClaimReference = z.object({
  claimName: ResourceName.describe('PersistentVolumeClaim in the namespace of the restore.'),
});

const Source = z
  .object({
    backupName: ResourceName.optional().describe('KmBackup whose archive is restored.'),
    scheduleName: ResourceName.optional().describe(
      'KmBackupSchedule whose newest complete archive is restored; with `asOf` the newest at or before that time.',
    ),
    asOf: Time.optional(),
    notBefore: Time.optional().describe(
      'Fail with ArchiveTooOld if the archive that `scheduleName` or `location` stands for was made before this time.',
    ),
    archive: z
      .object({
        persistentVolumeClaim: ClaimReference,
        path: RelativePath.describe('Archive file inside the claim.'),
      })
      .optional()
      .describe('An archive file on a claim, made by whatever means.'),
    location: z
      .object({
        name: ResourceName.describe('KmBackupLocation in the namespace of the restore.'),
        series: z
          .string()
          .min(1)
          .max(512)
          .optional()
          .describe(
            'Whose copies: `<namespace>/<schedule>` of the cluster that made them. Needed if the location has several.',
          ),
        archive: z.string().min(1).max(255).optional().describe('Name of the archive.'),
        asOf: Time.optional().describe('The newest complete archive at or before this time.'),
        identitySecretRef: z
          .object({ name: ResourceName })
          .optional()
          .describe(
            'Secret with the age identity in its key `identity`. Only Jobs of this restore mount it. Needed for encrypted copies.',
          ),
      })
      .meta(
        rules({
          rule: '!has(self.archive) || !has(self.asOf)',
          message: 'must have archive or asOf, not both; without either, the newest complete archive',
        }),
      )
      .optional()
      .describe('A copy in a KmBackupLocation. Default: the newest complete archive of the series.'),
  })
  .meta(
    rules(
      exactlyOne('backupName', 'scheduleName', 'archive', 'location'),
      {
        rule: '!has(self.asOf) || has(self.scheduleName)',
        message: 'asOf needs scheduleName',
        fieldPath: '.asOf',
      },
      {
        rule: '!has(self.notBefore) || has(self.scheduleName) || has(self.location)',
        message: 'notBefore needs scheduleName or location',
        fieldPath: '.notBefore',
      },
    ),
  )
  .describe('What to restore. Pinned in status.resolved at the first look.');

const Target = z
  .object({
    persistentVolumeClaim: ClaimReference.extend({
      subPath: RelativePath.optional().describe('Folder inside the claim. Default: its root.'),
    })
      .optional()
      .describe('Restore in place: the tree is staged beside the live one, then swapped in.'),
    newClaim: z
      .object({
        name: ResourceName,
        storageClassName: ResourceName.optional(),
        accessModes: z
          .array(z.enum(['ReadWriteOnce', 'ReadWriteMany', 'ReadWriteOncePod']))
          .min(1)
          .max(3)
          .default(['ReadWriteOnce']),
        size: Quantity,
      })
      .optional()
      .describe('Restore into a new claim, which is deleted again when the restore fails.'),
    scratch: Scratch.optional().describe('Restore into an ephemeral volume and keep nothing: a drill.'),
  })
  .meta(rules(exactlyOne('persistentVolumeClaim', 'newClaim', 'scratch')))
  .describe('Where to restore to.');

const Quiesce = z
  .object({
    auto: z
      .boolean()
      .optional()
      .describe(
        'Stop the owners of the pods that mount the claim: Deployments, StatefulSets, ReplicaSets, CronJobs.',
      ),
    workloads: z
      .array(z.object({ kind: z.enum([...SCALABLE_KINDS, 'CronJob']), name: ResourceName }))
      .max(50)
      .optional(),
  })
  .meta(
    rules({
      rule: '(has(self.auto) && self.auto ? 1 : 0) + (has(self.workloads) && size(self.workloads) > 0 ? 1 : 0) == 1',
      message: 'must have auto: true or a list of workloads',
    }),
  )
  .describe(
    'Workloads to stop during the restore: scaled to zero or suspended, and put back whatever happens.',
  );

export const KmRestoreSpec = z
  .object({
    source: Source,
    target: Target,
    paths: z
      .array(RelativePath)
      .min(1)
      .max(100)
      .optional()
      .describe('Only these files or folders, put back one by one. Default: the whole tree, swapped.'),
    dryRun: z.boolean().default(false).describe('Stop after the plan: status.plan says what would change.'),
    planDigest: z
      .string()
      .max(64)
      .optional()
      .meta(
        rules({
          rule: "self.matches('^[0-9a-f]{64}$')",
          message: 'must be the digest of a plan (status.plan.digest)',
        }),
      )
      .describe('Go on only if the plan still has this digest.'),
    quiesce: Quiesce.optional(),
    checks: ContentChecks.optional(),
    steps: z
      .object({ before: Steps.optional(), after: Steps.optional() })
      .optional()
      .describe(
        'Steps around the restore: `before` with the workloads stopped, `after` once they run again.',
      ),
    verify: Steps.optional().describe('Steps that decide on success, after the workloads run again.'),
    rollback: z
      .enum(['OnFailure', 'Never'])
      .default('OnFailure')
      .describe('OnFailure: when verify or a later step fails, the old state is swapped in again.'),
    keepOldStateFor: Duration.default('24h').describe(
      'How long the old state is kept after success; 0 deletes it at once.',
    ),
    after: z
      .array(ResourceName)
      .max(50)
      .optional()
      .describe('KmRestores of this namespace that must have succeeded before this one begins.'),
    podTemplate: PodTemplate.optional().describe(
      'As in a schedule. Default for user, groups and elevated: those of the schedule, then those of the pod that mounts the target. An elevated restore keeps setuid bits and capabilities of files.',
    ),
    startDeadlineSeconds: z
      .int()
      .min(10)
      .default(600)
      .describe(
        'A restore whose pod has not started by then (unschedulable, image not pulled, volume not made) fails, unless it has begun to change the target.',
      ),
    deadlineSeconds: z
      .int()
      .min(60)
      .default(86_400)
      .describe('The restore fails, with the old state live, when the swap has not happened by then.'),
  })
  .meta(
    rules(
      { rule: 'self == oldSelf', message: 'a restore cannot be changed: create another KmRestore' },
      {
        rule: '!has(self.target.scratch) || (!has(self.quiesce) && !has(self.planDigest) && !has(self.paths))',
        message:
          'a restore into scratch space has no quiesce, planDigest or paths: nothing of yours is touched',
      },
    ),
  );
export type KmRestoreSpec = z.output<typeof KmRestoreSpec>;

export const RestorePhase = z.enum([
  'Pending',
  'Planned',
  'Quiescing',
  'Restoring',
  'Verifying',
  'Succeeded',
  'RolledBack',
  'Failed',
]);
export type RestorePhase = z.infer<typeof RestorePhase>;

const JobStatus = z.object({ name: z.string(), uid: z.string().optional() });

export const KmRestoreStatus = z.object({
  observedGeneration: z.int().optional(),
  phase: RestorePhase.optional().describe(
    'Planned: the plan of a dry run is there. RolledBack: verification failed and the old state is live again. Failed: see message for what is live.',
  ),
  reason: z.string().optional(),
  message: z.string().optional().describe('What happened, and what to do about it.'),
  conditions: Conditions.optional(),
  startTime: Time.optional(),
  completionTime: Time.optional(),
  resolved: z
    .object({
      archive: z.object({
        name: z.string(),
        claimName: z.string().optional().describe('Absent for a copy in a location.'),
        path: z
          .string()
          .optional()
          .describe(
            'Folder of the archive inside the claim; empty for its root. Absent for a copy in a location.',
          ),
        sha256: z.string().optional(),
        manifestSha256: z.string().optional(),
        sizeBytes: z.int().optional(),
      }),
      archiveTime: Time.optional().describe('When the archive was made.'),
      backupName: z.string().optional(),
      location: z
        .object({ name: z.string(), url: z.string() })
        .optional()
        .describe('The KmBackupLocation of the copy, and its address when it was found.'),
      series: z.string().optional(),
    })
    .optional()
    .describe('The archive, pinned at the first look: another one under its name is refused.'),
  identity: SourceIdentity.extend({
    elevated: z.boolean().optional().describe('The schedule of the archive runs elevated.'),
  })
    .optional()
    .describe('User and groups of the Jobs, as found at the first look.'),
  plan: RestorePlan.optional(),
  stopped: z
    .array(StoppedWorkload)
    .optional()
    .describe('Workloads that were stopped, with what they were before.'),
  quiesceTime: Time.optional().describe('When the restore last began to stop them.'),
  steps: z.array(StepStatus).optional(),
  job: JobStatus.optional().describe('The Job of the phase that is going on.'),
  failure: z
    .object({ phase: z.enum(['Failed', 'RolledBack']), reason: z.string(), message: z.string() })
    .optional()
    .describe('What the restore will end as, once workloads are put back and nothing is left over.'),
  rollbackTime: Time.optional().describe('When the old state went live again.'),
  swapTime: Time.optional().describe('When the restored tree went live.'),
  oldState: z
    .object({
      path: z.string().describe('Folder inside the claim.'),
      keptUntil: Time.optional(),
    })
    .optional()
    .describe('The state before the restore, while it is kept.'),
  restored: z.object({ entries: z.int(), files: z.int(), bytes: z.int(), reusedBytes: z.int() }).optional(),
  checks: z.array(ContentCheck).optional(),
  warnings: z.object({ count: z.int(), samples: z.array(z.string()) }).optional(),
  recoverySeconds: z.number().optional().describe('From the start of the restore to its success.'),
  archiveAgeSeconds: z.int().optional().describe('Age of the data when the restore began.'),
});
export type KmRestoreStatus = z.infer<typeof KmRestoreStatus>;

export interface KmRestore {
  apiVersion: string;
  kind: 'KmRestore';
  metadata: ObjectMeta;
  spec: KmRestoreSpec;
  status?: KmRestoreStatus;
}

export type RestoreIdentity = NonNullable<KmRestoreStatus['identity']>;

/** Whether its Jobs run as root with a few capabilities: as it says itself, else as the schedule of the archive does. */
export function isElevated({ spec, status }: KmRestore): boolean {
  const { elevated, runAsUser } = spec.podTemplate ?? {};
  return elevated ?? (runAsUser === undefined && status?.identity?.elevated === true);
}

/** Whether what it restored is what is on its target now, as far as it has changed it. */
export function isLive(restore: KmRestore): boolean {
  const { phase, swapTime, reason } = restore.status ?? {};
  return (
    swapTime !== undefined && (phase === 'Succeeded' || (phase === 'Failed' && reason !== 'RollbackFailed'))
  );
}
