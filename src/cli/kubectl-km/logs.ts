import { Command } from 'commander';
import { newestPod } from '../../fleet/job-pods.ts';
import { logLines } from '../../fleet/logs.ts';
import { wholeNumber } from '../km-backup/option-values.ts';
import { printLine } from '../km-backup/output.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';

interface Flags extends ClusterFlags {
  readonly follow: boolean;
  readonly tail?: number;
}

export function command(context: PluginContext): Command {
  const logs = new Command('logs')
    .description('print the log of a run or restore; of a schedule that of its newest run')
    .argument('<name>', 'name of a schedule, a backup or a restore')
    .option('-f, --follow', 'go on until the pod ends', false)
    .option('--tail <lines>', 'only the last lines', wholeNumber);
  return addClusterFlags(logs).action(async (name: string, flags: Flags) => {
    const { cluster, namespace } = await connect(flags, context);
    const { metadata } = await newestPod(cluster, { namespace, name });
    const { signal } = context;
    const lines = logLines(cluster, metadata, { follow: flags.follow, tailLines: flags.tail, signal });
    for await (const line of lines) printLine(line);
  });
}
