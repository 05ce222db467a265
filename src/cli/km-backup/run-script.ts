import { Command } from 'commander';
import { printable } from '../../log/index.ts';
import { runScriptBackup } from '../../standalone/script-run.ts';
import { destinationOf, sourceOf } from '../../standalone/variables.ts';
import { type CliContext, required } from './context.ts';
import { type RetentionFlags, retentionOf, wholeNumber } from './option-values.ts';
import { writeResult } from './result-file.ts';
import { addRetentionOptions } from './retention-options.ts';

interface Flags extends RetentionFlags {
  source?: string;
  destination?: string;
  series?: string;
  lockWait: number;
  resultFile?: string;
}

export function command(context: CliContext): Command {
  const runScript = new Command('run-script')
    .description('run a script that writes the archive, in place of the built-in program')
    .argument('<script>', 'its last line "Backup written to PATH" names the archive')
    .option('--source <dir>', 'directory to back up (default: $KM_BACKUP_SOURCE, else $KM_STATE_PATH)')
    .option(
      '--destination <dir>',
      'directory of the archives (default: $KM_BACKUP_DEST, else $KM_BACKUP_DEST_PATH)',
    )
    .option('--series <name>', 'the set of archives that retention looks at')
    .option('--lock-wait <seconds>', 'wait this long for another run to end', wholeNumber, 0)
    .option('--result-file <path>', 'write the result as JSON, at most 4,096 bytes');
  return addRetentionOptions(runScript).action((script: string, flags: Flags) => run(script, flags, context));
}

async function run(script: string, flags: Flags, context: CliContext): Promise<void> {
  const { env, signal } = context;
  const source = flags.source ?? sourceOf(env);
  const { result, exitCode } = await runScriptBackup({
    script,
    source: required(source, '--source', 'KM_BACKUP_SOURCE'),
    destination: required(flags.destination ?? destinationOf(env), '--destination', 'KM_BACKUP_DEST'),
    series: flags.series,
    retention: retentionOf(flags),
    lockWaitMs: flags.lockWait * 1000,
    env,
    signal,
    now: () => new Date(),
    onLine: (line) => process.stderr.write(`${printable(line, 500)}\n`),
  });
  if (flags.resultFile !== undefined) writeResult(flags.resultFile, result);
  context.exitCode = exitCode;
  if (result.outcome !== 'Succeeded') process.stderr.write(`km-backup: ${result.message}\n`);
  if (result.archive) process.stdout.write(`Backup written to ${result.archive.path}\n`);
}
