import { posix } from 'node:path';
import { Command } from 'commander';
import { chosenBackup } from '../../fleet/archives.ts';
import { connect, type PluginContext } from './context.ts';
import { addReadFlags, passOn, type ReadFlags, reading } from './reading.ts';

export function command(context: PluginContext): Command {
  const history = new Command('history')
    .description('show one file through all archives of a schedule: its size and time, and where it changed')
    .argument('<schedule>', 'name of the schedule')
    .argument('<path>', 'path within the archives')
    .option('--json', 'one JSON object a line, oldest first', false);
  return addReadFlags(history).action(
    async (name: string, path: string, flags: ReadFlags & { json: boolean }) => {
      const { cluster, namespace } = await connect(flags, context);
      const newest = await chosenBackup(cluster, { namespace, name });
      await reading(cluster, [newest], flags, context, (reader) =>
        passOn(
          reader,
          [
            'history',
            ...(flags.json ? ['--json'] : []),
            `--destination=${posix.dirname(reader.archives[0]!)}`,
            `--series=${namespace}/${newest.spec.scheduleName}`,
            '--',
            path,
          ],
          context,
        ),
      );
    },
  );
}
