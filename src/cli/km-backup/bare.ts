import path from 'node:path';
import type { Command } from 'commander';
import { ArchiveError, levels } from '../../archive/index.ts';
import type { CliContext } from './context.ts';
import { required } from './context.ts';
import { backUp } from './create.ts';

/** `km-backup [OUTPUT]`, as the playbook's script is called: no subcommand, the environment says the rest. */
export function bareCommand(program: Command, context: CliContext): Command {
  return program
    .argument('[output]', 'file to write (default: a new name in $KM_BACKUP_DEST)')
    .addHelpText(
      'after',
      `
Without a command: backs up $KM_BACKUP_SOURCE (else $KM_STATE_PATH) into $KM_BACKUP_DEST
(else backups/archives below the source) and prints "Backup written to PATH".`,
    )
    .action((output: string | undefined) => run(output, context));
}

async function run(output: string | undefined, context: CliContext): Promise<void> {
  const { env } = context;
  if (output !== undefined && !/[/.]/.test(output)) {
    throw new ArchiveError(
      'Usage',
      `"${output}" is no command (km-backup --help lists them). To write a file of that name, say ./${output}.`,
    );
  }
  const source = required(env['KM_BACKUP_SOURCE'] || env['KM_STATE_PATH'], 'The source', 'KM_BACKUP_SOURCE');
  const destination =
    output === undefined
      ? env['KM_BACKUP_DEST'] || path.join(source, 'backups', 'archives')
      : path.dirname(path.resolve(output));
  await backUp(
    {
      source,
      destination,
      outputName: output === undefined ? undefined : path.basename(output),
      compression: 'gzip',
      level: levels.gzip.standard,
      exclude: [],
      include: [],
      full: false,
      allowEmpty: true,
      lockWaitMs: 0,
      retention: undefined,
      signal: context.signal,
      now: () => new Date(),
    },
    { resultFile: undefined, progress: 'auto' },
    context,
  );
}
