import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { Command } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import { collectReport } from '../../fleet/report.ts';
import { formatBytes } from '../../log/units.ts';
import { print } from '../km-backup/output.ts';
import { addClusterFlags, type ClusterFlags, connect, type PluginContext } from './context.ts';
import { tarOf } from './tar.ts';

export function command(context: PluginContext): Command {
  const report = new Command('report')
    .description(
      'collect what a bug report needs into a .tar.gz: no Secrets, values of variables redacted; look at it before you send it',
    )
    .option('-o, --output <file>', 'file to write; it must not exist', 'km-report.tar.gz');
  return addClusterFlags(report).action(async (flags: ClusterFlags & { output: string }) => {
    const { cluster, namespace } = await connect(flags, context);
    const files = await collectReport(cluster, namespace, packageJson.version);
    const bytes = gzipSync(tarOf(files, Math.floor(cluster.clock.now() / 1000)));
    writeFileSync(flags.output, bytes, { flag: 'wx', mode: 0o600 });
    print(
      `${flags.output}: ${files.size} files, ${formatBytes(bytes.length)}. Names of objects and files are in it: look at it before you send it.`,
    );
  });
}
