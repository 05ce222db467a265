import { Command } from 'commander';
import type { KmBackup } from '../../api/backup.ts';
import type { Cluster } from '../../fleet/cluster.ts';
import { observe } from '../../fleet/observe.ts';
import { awaitBackup, exitCodeOfBackup, runBackup } from '../../fleet/run-backup.ts';
import { why } from '../../fleet/why.ts';
import { formatBytes, formatSeconds } from '../../log/units.ts';
import { wrapped } from '../km-backup/fitted-table.ts';
import { say } from '../km-backup/output.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';
import { addOutputFlags, type OutputFlags, paint, roomOf, write, writeData, writeNames } from './output.ts';
import { startTicker } from './progress.ts';

interface Flags extends ClusterFlags, OutputFlags {
  readonly wait: boolean;
}

export function command(context: PluginContext): Command {
  const run = new Command('run')
    .description('start a backup now, apart from the scheduled times; also of a suspended schedule')
    .argument('<schedule>', 'name of the schedule')
    .option('--wait', 'wait for its end; the exit status then says how it ended', false);
  return addOutputFlags(addClusterFlags(run), ['json', 'yaml', 'name']).action(
    async (name: string, flags: Flags) => {
      const { cluster, namespace } = await connect(flags, context);
      const started = await runBackup(cluster, { namespace, name });
      if (!flags.wait && flags.output === undefined) {
        const { name: backup } = started.metadata;
        write(`Backup ${backup} started. To follow it: kubectl km logs ${backup} -f -n ${namespace}\n`);
        return;
      }
      const backup = flags.wait ? await ended(cluster, started, flags, context) : started;
      if (flags.wait) context.exitCode = exitCodeOfBackup(backup);
      if (flags.output === 'name') writeNames('kmbackup.km.duskmantle.io', [backup.metadata.name]);
      else if (flags.output === 'json' || flags.output === 'yaml') await writeData(flags.output, backup);
      else await print(cluster, backup, context);
    },
  );
}

/** Waits for the end. A person who gives up leaves the run as it is, and is told so. */
async function ended(
  cluster: Cluster,
  { metadata }: KmBackup,
  flags: Flags,
  { signal }: PluginContext,
): Promise<KmBackup> {
  using ticker = startTicker();
  try {
    return await awaitBackup(cluster, metadata, {
      signal,
      onChange: ({ status }) =>
        ticker.show(`${metadata.name}: ${status?.message ?? 'waits for the operator to see it'}`),
    });
  } finally {
    ticker.clear();
    if (signal.aborted && flags.output === undefined)
      say(
        `Backup ${metadata.name} goes on. To end it: kubectl delete kmb ${metadata.name} -n ${metadata.namespace}`,
      );
  }
}

async function print(cluster: Cluster, backup: KmBackup, context: PluginContext): Promise<void> {
  const { metadata, status } = backup;
  const room = roomOf(context);
  if (status?.phase === 'Succeeded' && status.archive) {
    const { name, claimName, path, sizeBytes = 0, files = 0 } = status.archive;
    const time = formatSeconds(status.durationSeconds ?? 0);
    const text = `Backup ${metadata.name} succeeded in ${time}: ${path}/${name} on claim ${claimName}, ${formatBytes(sizeBytes)}, ${files} files.`;
    return write(paint('green', wrapped(text, room, '  ', '')));
  }
  const { cause, todo } = why(await observe(cluster, metadata));
  write(paint('red', wrapped(cause, room, '  ', '')));
  for (const text of todo) write(wrapped(`→ ${text.replaceAll('`', '')}`, room, '    ', '  '));
}
