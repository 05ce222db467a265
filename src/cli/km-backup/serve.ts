import { findPackageJSON } from 'node:module';
import path from 'node:path';
import { Command, Option } from 'commander';
import { systemClock } from '../../clock/index.ts';
import { createLogger, LOG_LEVELS, type LogLevel } from '../../log/index.ts';
import { serve } from '../../standalone/index.ts';
import { variablesHelp } from '../../standalone/variables.ts';
import { switchLogLevelBySignal } from '../log-level.ts';
import type { CliContext } from './context.ts';

interface Flags {
  listen?: string;
  runNow: boolean;
  logLevel: LogLevel;
}

/** Found from the root of the package, because a bundle is in another folder than this file. */
const PROGRAM = path.join(path.dirname(findPackageJSON(import.meta.url)!), 'bin/km-backup');

export function command(context: CliContext): Command {
  return new Command('serve')
    .description(
      'run backups on the schedule that the KM_BACKUP_* variables set, and serve /healthz and /metrics',
    )
    .option(
      '--listen <host:port>',
      'address of /healthz and /metrics (default: $KM_BACKUP_LISTEN, else 127.0.0.1:8000)',
    )
    .option('--run-now', 'make one backup at once, then follow the schedule', false)
    .addOption(
      new Option('--log-level <level>', 'lowest level to log').choices([...LOG_LEVELS]).default('info'),
    )
    .addHelpText(
      'after',
      `
Variables (an empty one counts as unset):
${variablesHelp(['serve', 'both', 'all'])}

Exit status: 0 after SIGTERM or SIGINT, 2 if a variable is invalid, 4 if another process serves the destination.`,
    )
    .action((flags: Flags) => run(flags, context));
}

async function run(flags: Flags, context: CliContext): Promise<void> {
  const env = flags.listen === undefined ? context.env : { ...context.env, KM_BACKUP_LISTEN: flags.listen };
  const logger = createLogger({ level: flags.logLevel, name: 'km-backup' });
  using _level = switchLogLevelBySignal(logger);
  await serve({
    env,
    program: PROGRAM,
    clock: systemClock,
    logger,
    runNow: flags.runNow,
    signal: context.signal,
  });
}
