import { z } from 'zod';
import { Duration } from './duration.ts';
import { exactlyOne, itemName, ResourceName, rules, unique } from './schema.ts';

/** Kinds that `scale` and `quiesce` know how to stop and start again. */
export const SCALABLE_KINDS = ['Deployment', 'StatefulSet', 'ReplicaSet'] as const;

const ScaleStep = z
  .object({
    kind: z.enum(SCALABLE_KINDS),
    name: ResourceName,
    replicas: z
      .int()
      .min(0)
      .max(100_000)
      .describe('Replicas to set. Undone at the end: the number before comes back.'),
  })
  .describe('Sets the number of replicas of a workload. In a restore, of one that spec.quiesce stops.');

const HttpStep = z
  .object({
    service: ResourceName.describe('Service in the namespace of the resource.'),
    port: z.int().min(1).max(65_535),
    path: z
      .string()
      .max(2_048)
      .default('/')
      .meta(rules({ rule: "self.startsWith('/')", message: 'must begin with "/"' })),
    method: z.enum(['GET', 'POST', 'PUT', 'HEAD']).default('GET'),
    expect: z
      .object({
        status: z.int().min(100).max(599).default(200),
        bodyContains: z.string().min(1).max(1_024).optional(),
      })
      .prefault({})
      .describe('What the answer must be. Asked again until it is, or the timeout of the step ends.'),
  })
  .describe('Asks a Service of the same namespace over HTTP.');

export const JobStep = z
  .object({
    configMapKeyRef: z
      .object({ name: ResourceName, key: z.string().min(1).max(253) })
      .describe('Script to run.'),
    image: z
      .string()
      .min(1)
      .max(512)
      .optional()
      .describe(
        "Image from the operator's allow-list (restore.stepImages). Default: the operator's own image.",
      ),
  })
  .describe(
    'Runs a script in a pod of its own. Only where the operator was installed with jobs.allowScripts=true.',
  );

/** One named action around a backup or restore; exactly one of `scale`, `http`, `job`. */
export const Step = z
  .object({
    name: itemName(63),
    timeout: Duration.default('5m').describe('The step has failed when it is not done by then.'),
    onError: z.enum(['Fail', 'Continue']).default('Fail'),
    scale: ScaleStep.optional(),
    http: HttpStep.optional(),
    job: JobStep.optional(),
  })
  .meta(rules(exactlyOne('scale', 'http', 'job')));
export type Step = z.output<typeof Step>;

export const Steps = z
  .array(Step)
  .max(20)
  .meta(rules(unique('name', 'every step needs a name of its own')));

export const StepStatus = z.object({
  name: z.string(),
  /** `Undone`: the state before the step was put back. */
  phase: z.enum(['Running', 'Done', 'Failed', 'Undone']),
  startTime: z.string().optional(),
  message: z.string().optional(),
});
export type StepStatus = z.infer<typeof StepStatus>;

/** What a workload was before it was stopped: written down first, put back whatever happens. */
export const StoppedWorkload = z.object({
  kind: z.enum([...SCALABLE_KINDS, 'CronJob']),
  name: z.string(),
  uid: z.string(),
  replicas: z.int().optional().describe('Replicas before; absent for a CronJob.'),
  suspend: z.boolean().optional().describe('Whether the CronJob was suspended before.'),
  restored: z
    .boolean()
    .optional()
    .describe('True once the state before was put back, or a later restore of the row has taken that over.'),
});
export type StoppedWorkload = z.infer<typeof StoppedWorkload>;
