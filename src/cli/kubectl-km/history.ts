import { posix } from 'node:path';
import { Command } from 'commander';
import { chosenBackup } from '../../fleet/archives.ts';
import { scheduleOf } from '../../fleet/find.ts';
import { connect, type PluginContext } from './context.ts';
import { addCopyFlags, type CopyFlags, passOn, reading, readingCopies } from './reading.ts';

export function command(context: PluginContext): Command {
  const history = new Command('history')
    .description('show one file through all archives of a schedule: its size and time, and where it changed')
    .argument('<schedule>', 'name of the schedule')
    .argument('<path>', 'path within the archives')
    .option('--json', 'one JSON object a line, oldest first', false);
  return addCopyFlags(history).action(
    async (name: string, path: string, flags: CopyFlags & { json: boolean }) => {
      const { cluster, namespace } = await connect(flags, context);
      const command = ['history', ...(flags.json ? ['--json'] : [])];
      if (flags.location !== undefined) {
        const schedule = await scheduleOf(cluster, { namespace, name });
        return readingCopies(cluster, schedule, flags.location, flags, context, (reader) =>
          passOn(reader, [...command, ...reader.flags, '--', reader.url, path], context),
        );
      }
      const newest = await chosenBackup(cluster, { namespace, name });
      await reading(cluster, [newest], flags, context, (reader) => {
        const folder = posix.dirname(reader.archives[0]!);
        const series = `${namespace}/${newest.spec.scheduleName}`;
        const place = [`--destination=${folder}`, `--series=${series}`];
        return passOn(reader, [...command, ...place, '--', path], context);
      });
    },
  );
}
