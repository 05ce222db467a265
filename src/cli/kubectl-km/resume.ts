import { Command } from 'commander';
import { suspend } from '../../fleet/change.ts';
import { print } from '../km-backup/output.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';

export function command(context: PluginContext): Command {
  const change = new Command('resume')
    .description('start scheduled runs of a schedule again; times that passed are not caught up')
    .argument('<schedules...>', 'names of schedules');
  return addClusterFlags(change).action(async (names: string[], flags: ClusterFlags) => {
    const { cluster, namespace } = await connect(flags, context);
    for (const name of names) {
      await suspend(cluster, { namespace, name }, false);
      print(`${name} is resumed.`);
    }
  });
}
