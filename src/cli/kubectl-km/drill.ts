import { Command } from 'commander';
import { startDrill } from '../../fleet/drill.ts';
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
  return addOutputFlags(addClusterFlags(drill), ['json', 'yaml', 'name']).action(
    async (name: string, flags: Flags) => {
      const { cluster, namespace } = await connect(flags, context);
      await follow(cluster, await startDrill(cluster, { namespace, name }, flags.size), flags, context);
    },
  );
}
