import path from 'node:path';
import type { Command } from 'commander';
import { ArchiveError, levels } from '../../archive/index.ts';
import {
  defaultDestination,
  destinationOf,
  sourceOf,
  variablesHelp,
  variableWarnings,
} from '../../standalone/variables.ts';
import { allowEmptyOf, type CliContext, required } from './context.ts';
import { backUp } from './create.ts';

/** `km-backup [OUTPUT]`, as the playbook calls its script: no subcommand, everything else from the environment. */
export function bareCommand(program: Command, context: CliContext): Command {
  return program
    .argument('[output]', 'file to write (default: a new name in the destination)')
    .addHelpText(
      'after',
      `
Without a command: makes one archive and prints "Backup written to PATH".

Variables (an empty one counts as unset):
${variablesHelp(['all'])}`,
    )
    .action((output: string | undefined) => run(output, context));
}

async function run(output: string | undefined, context: CliContext): Promise<void> {
  const { env } = context;
  if (output !== undefined && !/[/.]/.test(output)) {
    throw new ArchiveError(
      'Usage',
      `"${output}" is not a command (km-backup --help lists them). To write a file of that name, pass ./${output}.`,
    );
  }
  for (const warning of variableWarnings(env)) process.stderr.write(`warning: ${warning}\n`);
  const source = required(sourceOf(env), 'The source', 'KM_BACKUP_SOURCE');
  const destination =
    output === undefined
      ? (destinationOf(env) ?? defaultDestination(source))
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
      allowEmpty: allowEmptyOf(env),
      lockWaitMs: 0,
      retention: undefined,
      signal: context.signal,
      now: () => new Date(),
    },
    { resultFile: undefined, progress: 'auto' },
    context,
  );
}
