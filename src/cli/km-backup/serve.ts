import { findPackageJSON } from 'node:module';
import path from 'node:path';
import { Command, Option } from 'commander';
import { createLogger, LOG_LEVELS, type LogLevel } from '../../log/index.ts';
import { serve, systemClock } from '../../standalone/index.ts';
import type { CliContext } from './context.ts';

interface Flags {
  listen?: string;
  runNow: boolean;
  logLevel: LogLevel;
}

/** Found from the package's root, which lies elsewhere from a bundle than from this file. */
const PROGRAM = path.join(path.dirname(findPackageJSON(import.meta.url)!), 'bin/km-backup');

export function command(context: CliContext): Command {
  return new Command('serve')
    .description(
      'run backups on a schedule, as the KM_BACKUP_* variables say, and serve /healthz and /metrics',
    )
    .option(
      '--listen <host:port>',
      'address of /healthz and /metrics (default: $KM_BACKUP_LISTEN, else 127.0.0.1:8000)',
    )
    .option('--run-now', 'make one backup at once, then go on by the schedule', false)
    .addOption(
      new Option('--log-level <level>', 'least level to log').choices([...LOG_LEVELS]).default('info'),
    )
    .addHelpText(
      'after',
      `
Variables (an empty one counts as unset):
  KM_BACKUP_ENABLED            start backups (default: false)
  KM_STATE_PATH                directory to back up
  KM_BACKUP_INTERVAL_MINUTES   minutes between runs (default: 720)
  KM_BACKUP_CRON               5 fields in UTC, or @daily and the like; wins over the interval
  KM_BACKUP_RETENTION_LIMIT    newest archives to keep (default: 7); 0 keeps all
  KM_BACKUP_DEST_PATH          directory of the archives (default: $KM_STATE_PATH/backups/archives)
  KM_BACKUP_SCRIPT             program to run in place of the built-in one
  KM_BACKUP_LISTEN             as --listen

Ends with 0 after SIGTERM or SIGINT, with 2 where a variable is bad, with 4 where another serves the destination.`,
    )
    .action((flags: Flags) => run(flags, context));
}

async function run(flags: Flags, context: CliContext): Promise<void> {
  const env = flags.listen === undefined ? context.env : { ...context.env, KM_BACKUP_LISTEN: flags.listen };
  await serve({
    env,
    program: PROGRAM,
    clock: systemClock,
    logger: createLogger({ level: flags.logLevel, name: 'km-backup' }),
    runNow: flags.runNow,
    signal: context.signal,
  });
}
