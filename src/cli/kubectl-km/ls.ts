import { Command } from 'commander';
import { chosenBackup } from '../../fleet/archives.ts';
import { connect, type PluginContext } from './context.ts';
import { addReadFlags, passOn, type ReadFlags, reading } from './reading.ts';

export function command(context: PluginContext): Command {
  const ls = new Command('ls')
    .description('list what an archive holds, read in a short-lived pod')
    .argument('<backup>', 'a backup, or a schedule for its newest archive')
    .option('--json', 'one JSON object a line, as in the manifest', false);
  return addReadFlags(ls).action(async (name: string, flags: ReadFlags & { json: boolean }) => {
    const { cluster, namespace } = await connect(flags, context);
    const backup = await chosenBackup(cluster, { namespace, name });
    await reading(cluster, [backup], flags, context, (reader) =>
      passOn(reader, ['ls', ...(flags.json ? ['--json'] : []), reader.archives[0]!], context),
    );
  });
}
