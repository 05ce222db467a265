import { Command } from 'commander';
import { observe } from '../../fleet/observe.ts';
import { type Explanation, why } from '../../fleet/why.ts';
import { wrapped } from '../km-backup/fitted-table.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';
import { addOutputFlags, type OutputFlags, paint, roomOf, write, writeData } from './output.ts';

export function command(context: PluginContext): Command {
  const explain = new Command('why')
    .description('explain why a schedule, a backup or a restore is as it is; the first line names the cause')
    .argument('<name>', 'name of a schedule, a backup or a restore');
  return addOutputFlags(addClusterFlags(explain), ['json', 'yaml']).action(
    async (name: string, flags: ClusterFlags & OutputFlags) => {
      const { cluster, namespace } = await connect(flags, context);
      const explained = why(await observe(cluster, { namespace, name }));
      if (flags.output === 'json' || flags.output === 'yaml') return writeData(flags.output, explained);
      write(explanationText(explained, roomOf(context)));
    },
  );
}

const COLOUR = { problem: 'red', waiting: 'yellow', running: 'yellow', fine: 'green' } as const;

function explanationText(
  { verdict, cause, reason, todo, facts, log }: Explanation,
  room: number | undefined,
): string {
  const first = wrapped(cause, room, '  ', '');
  const advice = todo.map((text) => wrapped(`→ ${text.replaceAll('`', '')}`, room, '    ', '  ')).join('');
  const width = Math.max(0, ...facts.map(({ label }) => label.length));
  const indent = ' '.repeat(Math.min(width + 2, 24));
  const list = facts
    .map(({ label, text }) => wrapped(text, room, indent, `${label.padEnd(width)}  `))
    .join('');
  const words =
    log.length === 0
      ? ''
      : `\nLast lines of the pod:\n${log.map((line) => wrapped(line, room, '    ', '  ')).join('')}`;
  const named = reason ? `Reason: ${reason}\n` : '';
  return `${paint(COLOUR[verdict], first.trimEnd())}\n${advice}\n${named}${list}${words}`;
}
