import { Command } from 'commander';
import { backupBefore, chosenBackup } from '../../fleet/archives.ts';
import { collect } from '../km-backup/option-values.ts';
import { connect, type PluginContext } from './context.ts';
import { addReadFlags, passOn, type ReadFlags, reading } from './reading.ts';

interface Flags extends ReadFlags {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly summary: boolean;
  readonly exitCode: boolean;
  readonly json: boolean;
}

export function command(context: PluginContext): Command {
  const diff = new Command('diff')
    .description(
      'say what differs between two archives: + added, - removed, M content or type changed, U only metadata changed',
    )
    .argument('<backup>', 'the earlier one; alone: the later one, compared with the archive before it')
    .argument('[later]', 'a backup, or a schedule for its newest archive')
    .option('--include <pattern>', 'only names that match, as in .gitignore (repeatable)', collect, [])
    .option('--exclude <pattern>', 'no names that match, as in .gitignore (repeatable)', collect, [])
    .option('--summary', 'only the totals', false)
    .option('--exit-code', 'an exit status of its own if anything differs', false)
    .option('--json', 'one JSON object for each difference, and one for the totals', false);
  return addReadFlags(diff).action(async (first: string, second: string | undefined, flags: Flags) => {
    const { cluster, namespace } = await connect(flags, context);
    const one = await chosenBackup(cluster, { namespace, name: first });
    const pair =
      second === undefined
        ? [await backupBefore(cluster, one), one]
        : [one, await chosenBackup(cluster, { namespace, name: second })];
    const { include, exclude, summary, exitCode, json } = flags;
    await reading(cluster, pair, flags, context, (reader) =>
      passOn(
        reader,
        [
          'diff',
          ...include.map((pattern) => `--include=${pattern}`),
          ...exclude.map((pattern) => `--exclude=${pattern}`),
          ...(summary ? ['--summary'] : []),
          ...(exitCode ? ['--exit-code'] : []),
          ...(json ? ['--json'] : []),
          ...reader.archives,
        ],
        context,
      ),
    );
  });
}
