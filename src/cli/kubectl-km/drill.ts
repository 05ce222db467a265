import { Command } from 'commander';
import type { KmBackupSchedule } from '../../api/backup-schedule.ts';
import { FleetError, unlessMissing } from '../../fleet/errors.ts';
import { backupOf } from '../../fleet/find.ts';
import { type RestoreRequest, restoreElsewhere } from '../../fleet/restore.ts';
import { addClusterFlags, connect, type PluginContext } from './context.ts';
import { addOutputFlags } from './output.ts';
import { type FollowFlags, follow } from './restore.ts';

interface Flags extends FollowFlags {
  readonly size?: string;
}

export function command(context: PluginContext): Command {
  const drill = new Command('drill')
    .description('prove now that an archive can be restored: into scratch space, which is gone afterwards')
    .argument('<source>', 'a schedule, for its newest complete archive, or a backup')
    .option('--size <quantity>', 'size of the scratch space (default: that of spec.drill of the schedule)')
    .option('--wait', 'wait for its end; the exit status then says how it ended', false);
  return addOutputFlags(addClusterFlags(drill), ['json', 'yaml']).action(
    async (name: string, flags: Flags) => {
      const { cluster, namespace } = await connect(flags, context);
      const schedule = await unlessMissing(cluster.resources.schedules.get(namespace, name));
      if (!schedule) await backupOf(cluster, { namespace, name });
      const source = schedule ? sourceOf(schedule) : { backupName: name };
      const started = await restoreElsewhere(cluster, namespace, { source, ...into(schedule, flags) });
      await follow(cluster, started, flags, context);
    },
  );
}

/** The schedule's archives, or where its drills are from another place, its copies there. */
function sourceOf({ metadata, spec }: KmBackupSchedule): RestoreRequest['source'] {
  const from = spec.drill?.from;
  if (!from) return { scheduleName: metadata.name };
  const { locationRef, identitySecretRef } = from;
  const series = `${metadata.namespace}/${metadata.name}`;
  return { location: { name: locationRef.name, series, ...(identitySecretRef && { identitySecretRef }) } };
}

/** Where to, and what is checked there: what the schedule drills with, unless the flags say something else. */
function into(
  schedule: KmBackupSchedule | undefined,
  { size }: Flags,
): Pick<RestoreRequest, 'target' | 'checks'> {
  const drill = schedule?.spec.drill;
  const scratch = size === undefined ? drill?.scratch : { ...drill?.scratch, size };
  if (!scratch)
    throw new FleetError(
      'Usage',
      'How much scratch space to use is not known: pass --size, such as 10Gi, or set spec.drill of the schedule.',
    );
  return { target: { scratch }, ...(drill?.checks && { checks: drill.checks }) };
}
