import { Command } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import { ESCAPED_ERRORS } from '../km-backup/output.ts';
import { addSubcommands, type Subcommands } from '../subcommands.ts';
import type { PluginContext } from './context.ts';

export const SUBCOMMANDS: Subcommands<PluginContext> = {
  status: { summary: 'all schedules, what is wrong first', load: () => import('./status.ts') },
  why: { summary: 'explain a schedule, a run or a restore', load: () => import('./why.ts') },
  run: { summary: 'start a backup now', load: () => import('./run.ts') },
  list: { summary: 'list backups and their archives', load: () => import('./list.ts') },
  restore: {
    summary: 'bring a backup back, after showing what that changes',
    load: () => import('./restore.ts'),
  },
  doctor: { summary: 'check the installation and a namespace', load: () => import('./doctor.ts') },
  verify: { summary: 'say whether an archive is sound', load: () => import('./verify.ts') },
  ls: { summary: 'list what an archive holds', load: () => import('./ls.ts') },
  cat: { summary: 'print one file of an archive', load: () => import('./cat.ts') },
  get: { summary: 'bring a file or folder of an archive to this machine', load: () => import('./get.ts') },
  diff: { summary: 'say what differs between two archives', load: () => import('./diff.ts') },
  history: { summary: 'show one file through all archives', load: () => import('./history.ts') },
  import: { summary: 'translate variables or a CronJob into a schedule', load: () => import('./import.ts') },
  drill: { summary: 'prove now that an archive can be restored', load: () => import('./drill.ts') },
  logs: { summary: 'print the log of a run or restore', load: () => import('./logs.ts') },
  suspend: { summary: 'stop the scheduled runs of a schedule', load: () => import('./suspend.ts') },
  resume: { summary: 'start the scheduled runs of a schedule again', load: () => import('./resume.ts') },
  approve: { summary: 'approve a suspicious backup', load: () => import('./approve.ts') },
  report: { summary: 'collect what a bug report needs, redacted', load: () => import('./report.ts') },
  coverage: { summary: 'show which claims are protected', load: () => import('./coverage.ts') },
};

/** The program with only the command that `argv` names, or with all commands for `--help` if it names none. */
export async function programFor(argv: readonly string[], context: PluginContext): Promise<Command> {
  const program = new Command('kubectl km').description(
    'Backups of km-backup-operator: see them, run them, restore them. It acts with your own rights only.',
  );
  program
    .helpCommand(false)
    .configureOutput(ESCAPED_ERRORS)
    .exitOverride()
    .showHelpAfterError('(kubectl km --help lists all)');
  if (await addSubcommands(program, SUBCOMMANDS, argv, context)) return program;
  return program.version(packageJson.version);
}
