import { Command } from 'commander';
import { approve } from '../../fleet/change.ts';
import { print } from '../km-backup/output.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';

export function command(context: PluginContext): Command {
  const change = new Command('approve')
    .description(
      'approve a backup that its schedule calls suspicious (spec.guard): retention goes on after it',
    )
    .argument('<backup>', 'name of the backup');
  return addClusterFlags(change).action(async (name: string, flags: ClusterFlags) => {
    const { cluster, namespace } = await connect(flags, context);
    await approve(cluster, { namespace, name });
    print(`${name} is approved.`);
  });
}
