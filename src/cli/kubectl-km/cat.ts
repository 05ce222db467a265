import { Command } from 'commander';
import { chosenBackup } from '../../fleet/archives.ts';
import { connect, type PluginContext } from './context.ts';
import { addReadFlags, passOn, type ReadFlags, reading } from './reading.ts';

export function command(context: PluginContext): Command {
  const cat = new Command('cat')
    .description('print one file of an archive, as it is, read in a short-lived pod')
    .argument('<backup>', 'a backup, or a schedule for its newest archive')
    .argument('<path>', 'path of the file within the archive');
  return addReadFlags(cat).action(async (name: string, path: string, flags: ReadFlags) => {
    const { cluster, namespace } = await connect(flags, context);
    const backup = await chosenBackup(cluster, { namespace, name });
    await reading(cluster, [backup], flags, context, (reader) =>
      passOn(reader, ['cat', reader.archives[0]!, '--', path], context),
    );
  });
}
