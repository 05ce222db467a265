import { Command } from 'commander';
import { ExitCode } from '../../api/exit-codes.ts';
import { type Check, doctor } from '../../fleet/doctor.ts';
import { diagnose } from '../../fleet/doctor-observe.ts';
import { wrapped } from '../km-backup/fitted-table.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';
import { addOutputFlags, type OutputFlags, paint, roomOf, write, writeData } from './output.ts';

export function command(context: PluginContext): Command {
  const check = new Command('doctor').description(
    'check the installation and a namespace: CRDs, operator, permissions, quotas, claims, nodes, volumes; exit status 1 if something is wrong',
  );
  return addOutputFlags(addClusterFlags(check), ['json', 'yaml']).action(
    async (flags: ClusterFlags & OutputFlags) => {
      const { cluster, namespace } = await connect(flags, context);
      const checks = doctor(await diagnose(cluster, namespace));
      if (checks.some(({ state }) => state === 'problem')) context.exitCode = ExitCode.failure;
      if (flags.output === 'json' || flags.output === 'yaml') return writeData(flags.output, checks);
      for (const one of checks) write(line(one, roomOf(context)));
    },
  );
}

const MARKS: Readonly<Record<Check['state'], readonly [string, 'red' | 'yellow' | 'dim' | 'green']>> = {
  problem: ['PROBLEM', 'red'],
  warning: ['warning', 'yellow'],
  unknown: ['unknown', 'dim'],
  ok: ['ok', 'green'],
};
const MARK_WIDTH = 9;

function line({ name, state, message, todo }: Check, room: number | undefined): string {
  const [mark, colour] = MARKS[state];
  const text = wrapped(`${name}: ${message}`, room, ' '.repeat(MARK_WIDTH), mark.padEnd(MARK_WIDTH));
  const advice =
    todo === undefined ? '' : wrapped(`→ ${todo}`, room, ' '.repeat(MARK_WIDTH + 2), ' '.repeat(MARK_WIDTH));
  return `${paint(colour, text.slice(0, mark.length))}${text.slice(mark.length)}${advice}`;
}
