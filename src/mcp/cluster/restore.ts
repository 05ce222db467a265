/** A restore in two steps: a KmRestore that stops after its plan, and one that goes on only if the plan is still the same. */
import { z } from 'zod';
import { type KmRestore, KmRestoreSpec } from '../../api/restore.ts';
import { RestorePlan } from '../../api/restore-result.ts';
import { FleetError } from '../../fleet/errors.ts';
import { restoreOf } from '../../fleet/find.ts';
import { applyRestore, awaitRestore, planRestore } from '../../fleet/restore.ts';
import { formatBytes } from '../../log/units.ts';
import { lines } from '../text.ts';
import { type Call, defineDestructiveTool, defineTool, type Tool } from '../tool.ts';
import { type Caller, placeOf } from './caller.ts';

const Wish = z.strictObject({
  backup: z.string().optional().describe('Name of the KmBackup whose archive is restored'),
  schedule: z
    .string()
    .optional()
    .describe('Instead of backup: the newest complete archive of this KmBackupSchedule'),
  asOf: z.string().optional().describe('With schedule: the newest archive at or before this RFC 3339 time'),
  claim: z.string().describe('PersistentVolumeClaim to restore'),
  subPath: z.string().optional().describe('Folder inside the claim. Default: its root'),
  paths: z
    .array(z.string())
    .min(1)
    .optional()
    .describe('Only these files and folders. Default: the whole tree'),
  quiesce: z
    .boolean()
    .default(false)
    .describe('Stop the workloads that use the claim during the restore, and start them again'),
  keepOldStateFor: KmRestoreSpec.shape.keepOldStateFor,
});
type Wish = z.infer<typeof Wish>;

const Result = z.object({
  name: z.string().describe('Name of the KmRestore'),
  phase: z.string(),
  reason: z.string().optional(),
  message: z.string().optional(),
  oldState: z.object({ path: z.string(), keptUntil: z.string().optional() }).optional(),
});

export function restoreTools(caller: Caller): Tool[] {
  const { cluster, namespace } = caller;
  return [
    defineTool({
      name: 'restore_plan',
      title: 'Plan a restore',
      description:
        'Creates a KmRestore that stops after its plan: what the restore would add, change and remove on the claim. Changes no data. Its name (plan) and planDigest are what the tool restore needs.',
      effect: 'adds',
      input: Wish,
      output: z.object({
        plan: z.string().describe('Name of the KmRestore that holds the plan'),
        planDigest: z.string(),
        archive: z.string().optional(),
        changes: RestorePlan,
      }),
      run: async (wish, { signal, progress }) => {
        const { restore, plan } = await planRestore(cluster, namespace, requestOf(wish), {
          signal,
          onChange: follow(progress),
        });
        const { name } = restore.metadata;
        return {
          data: {
            plan: name,
            planDigest: plan.digest,
            archive: restore.status?.resolved?.archive.name,
            changes: { ...plan, samples: [...plan.samples] },
          },
          text: lines(planLines(restore), `plan: ${name}`, `planDigest: ${plan.digest}`),
        };
      },
    }),
    defineDestructiveTool({
      name: 'restore',
      title: 'Restore an archive',
      description:
        'Restores what restore_plan planned, by a KmRestore with planDigest, and waits until it has ended. Asks a person. Nothing happens if the archive is another one or the plan no longer holds. A call that is cancelled stops waiting; the restore goes on.',
      effect: 'destroys',
      input: z.strictObject({
        plan: z.string().describe('From restore_plan'),
        planDigest: z.string().describe('From restore_plan'),
        wait: z.boolean().default(true).describe('Wait for the end of the restore'),
      }),
      output: Result,
      plan: async ({ plan }) => {
        const restore = await restoreOf(cluster, placeOf(caller, plan));
        const { phase, plan: planned } = restore.status ?? {};
        if (phase !== 'Planned' || !planned) {
          throw new FleetError(
            'Refused',
            `KmRestore ${plan} in namespace ${namespace} is not a plan: its phase is ${phase ?? 'Pending'}. Plan the restore again.`,
          );
        }
        return { digest: planned.digest, text: lines(planLines(restore)) };
      },
      run: async ({ plan, planDigest, wait }, { signal, progress }) => {
        const started = await applyRestore(cluster, placeOf(caller, plan), planDigest);
        if (!wait) {
          const text = `KmRestore ${started.metadata.name} in namespace ${namespace} was created.`;
          return { data: resultOf(started), text: lines(text) };
        }
        const ended = await awaitRestore(cluster, started.metadata, { signal, onChange: follow(progress) });
        const data = resultOf(ended);
        const { name, phase, reason, message } = data;
        return {
          data,
          text: lines(`${name}: ${phase}${reason === undefined ? '' : ` (${reason})`}: ${message ?? ''}`),
          failed: phase !== 'Succeeded',
        };
      },
    }),
  ];
}

function requestOf({ backup, schedule, asOf, claim, subPath, paths, quiesce, keepOldStateFor }: Wish) {
  if ((backup === undefined) === (schedule === undefined)) {
    throw new FleetError('Usage', 'Name what to restore: either backup or schedule.');
  }
  if (asOf !== undefined && schedule === undefined) {
    throw new FleetError('Usage', 'asOf needs schedule.');
  }
  return {
    source: {
      ...(backup !== undefined && { backupName: backup }),
      ...(schedule !== undefined && { scheduleName: schedule }),
      ...(asOf !== undefined && { asOf }),
    },
    target: { persistentVolumeClaim: { claimName: claim, ...(subPath !== undefined && { subPath }) } },
    ...(paths && { paths }),
    ...(quiesce && { quiesce: { auto: true } }),
    keepOldStateFor,
  };
}

function follow(progress: Call['progress']): (restore: KmRestore) => void {
  let done = 0;
  return ({ metadata, status }) =>
    progress({ done: ++done, message: `${metadata.name}: ${status?.phase ?? 'Pending'}` });
}

function planLines({ metadata, spec, status }: KmRestore): string[] {
  const plan = status?.plan;
  if (!plan) return [];
  const { added, changed, removed, kept, samples, bytesToWrite, spaceNeededBytes, spaceFreeBytes } = plan;
  const { claimName, subPath } = spec.target.persistentVolumeClaim ?? { claimName: '-' };
  const free = spaceFreeBytes === undefined ? '' : `, ${formatBytes(spaceFreeBytes)} free`;
  const archive = status?.resolved?.archive.name ?? 'the archive';
  return [
    `Restore claim ${claimName}${subPath === undefined ? '' : `, folder ${subPath},`} in namespace ${metadata.namespace} from ${archive}: ${added} added, ${changed} changed, ${removed} removed, ${kept} kept.`,
    ...samples,
    `To write: ${formatBytes(bytesToWrite)}. Space needed: ${formatBytes(spaceNeededBytes)}${free}.`,
    spec.quiesce
      ? 'The workloads that use the claim are stopped meanwhile, and started again.'
      : 'No workload is stopped: the restore is refused while a pod uses the claim.',
    `The old state is kept for ${spec.keepOldStateFor}.`,
  ];
}

function resultOf({ metadata, status }: KmRestore): z.infer<typeof Result> {
  const { phase = 'Pending', reason, message, oldState } = status ?? {};
  return { name: metadata.name, phase, reason, message, oldState: oldState && { ...oldState } };
}
