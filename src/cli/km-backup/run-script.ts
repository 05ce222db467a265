import { Command } from 'commander';
import { printable } from '../../log/printable.ts';
import { runScriptBackup } from '../../standalone/script-run.ts';
import {
  type CliContext,
  DESTINATION_HELP,
  requiredDestination,
  requiredSource,
  SOURCE_HELP,
} from './context.ts';
import { reportRun } from './create.ts';
import { addNoticeOptions, type NoticeFlags, startNotices } from './notices.ts';
import { type RetentionFlags, retentionOf, wholeNumber } from './option-values.ts';
import { say } from './output.ts';
import { checkResultFile, writeResult } from './result-file.ts';
import { addRetentionOptions } from './retention-options.ts';

interface Flags extends RetentionFlags, NoticeFlags {
  source?: string;
  sourceVolume?: string;
  destination?: string;
  destinationVolume?: string;
  series?: string;
  lockWait: number;
  resultFile?: string;
}

export function command(context: CliContext): Command {
  const runScript = new Command('run-script')
    .description('run a script that writes the archive, instead of the built-in program')
    .argument('<script>', 'its last line "Backup written to PATH" names the archive')
    .option('--source <dir>', SOURCE_HELP)
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--source-volume <dir>', 'refuse a source outside this directory, also through symbolic links')
    .option('--destination-volume <dir>', 'the same for the destination')
    .option('--series <name>', 'name of the archives that belong together, for retention')
    .option('--lock-wait <seconds>', 'wait this long for another run to end', wholeNumber, 0)
    .option('--result-file <path>', 'write the result as JSON, at most 4,096 bytes');
  return addNoticeOptions(addRetentionOptions(runScript)).action((script: string, flags: Flags) =>
    run(script, flags, context),
  );
}

async function run(script: string, flags: Flags, context: CliContext): Promise<void> {
  const { env, signal } = context;
  if (flags.resultFile !== undefined) checkResultFile(flags.resultFile);
  const source = requiredSource(context, flags.source);
  const notices = startNotices(flags, flags.series ?? source, signal);
  const { result, exitCode } = await runScriptBackup({
    script,
    source,
    sourceVolume: flags.sourceVolume,
    destination: requiredDestination(context, flags.destination),
    destinationVolume: flags.destinationVolume,
    series: flags.series,
    retention: retentionOf(flags),
    lockWaitMs: flags.lockWait * 1000,
    env,
    signal,
    now: () => new Date(),
    onLine: (line) => say(printable(line, 500)),
  });
  context.exitCode = exitCode;
  reportRun(result, 'shell');
  if (flags.resultFile !== undefined) writeResult(flags.resultFile, result);
  await notices.ended(result);
}
