import { posix } from 'node:path';
import { Command } from 'commander';
import { chosenBackup } from '../../fleet/archives.ts';
import { connect, type PluginContext } from './context.ts';
import { addReadFlags, passOn, type ReadFlags, reading } from './reading.ts';

interface Flags extends ReadFlags {
  readonly deep: boolean;
  readonly all: boolean;
  readonly json: boolean;
}

export function command(context: PluginContext): Command {
  const verify = new Command('verify')
    .description('read an archive on its claim and say whether it is sound')
    .argument('<backup>', 'a backup, or a schedule for its newest archive')
    .option('--deep', 'decompress, and compare every header and content', false)
    .option('--all', 'every archive of the same folder', false)
    .option('--json', 'one JSON object a line', false);
  return addReadFlags(verify).action(async (name: string, flags: Flags) => {
    const { cluster, namespace } = await connect(flags, context);
    const backup = await chosenBackup(cluster, { namespace, name });
    await reading(cluster, [backup], flags, context, (reader) => {
      const [archive = ''] = reader.archives;
      const what = flags.all ? ['--all', `--destination=${posix.dirname(archive)}`] : [archive];
      const options = [...(flags.deep ? ['--deep'] : []), ...(flags.json ? ['--json'] : [])];
      return passOn(reader, ['verify', ...options, ...what], context);
    });
  });
}
