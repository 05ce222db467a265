import { Command } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import { addSubcommands, type Subcommands } from '../subcommands.ts';
import type { CliContext } from './context.ts';
import { ESCAPED_ERRORS } from './output.ts';

export const SUBCOMMANDS: Subcommands<CliContext> = {
  create: { summary: 'make an archive of a directory', load: () => import('./create.ts') },
  list: { summary: 'list the archives of a destination', load: () => import('./list.ts') },
  ls: { summary: 'list what an archive holds', load: () => import('./ls.ts') },
  diff: { summary: 'say what differs between two archives', load: () => import('./diff.ts') },
  history: { summary: 'show one file through all archives', load: () => import('./history.ts') },
  cat: { summary: 'print one file of an archive', load: () => import('./cat.ts') },
  extract: { summary: 'write chosen files of an archive', load: () => import('./extract.ts') },
  restore: {
    summary: 'replace a directory with the contents of an archive',
    load: () => import('./restore.ts'),
  },
  verify: { summary: 'read archives and say whether they are sound', load: () => import('./verify.ts') },
  serve: { summary: 'run backups on a schedule, without Kubernetes', load: () => import('./serve.ts') },
  mcp: { summary: 'serve tools for AI assistants (Model Context Protocol)', load: () => import('./mcp.ts') },
  'run-script': {
    summary: 'run a script that writes the archive, as the playbook allows',
    load: () => import('./run-script.ts'),
  },
  copy: { summary: 'copy archives to a location off the cluster', load: () => import('./copy.ts') },
  fetch: { summary: 'bring an archive back from a location', load: () => import('./fetch.ts') },
  location: { summary: 'set up a location for copies', load: () => import('./location.ts') },
  approve: { summary: 'approve a suspicious archive', load: () => import('./approve.ts') },
  prune: { summary: 'remove the archives that no rule keeps', load: () => import('./prune.ts') },
};

/** The program with only the command that `argv` names, or with all commands for `--help` if it names none. */
export async function programFor(argv: readonly string[], context: CliContext): Promise<Command> {
  const program = new Command('km-backup').description(
    'Backs up a directory into full, plain .tgz archives; a repeat run costs what changed.',
  );
  program.configureOutput(ESCAPED_ERRORS).exitOverride().showHelpAfterError('(km-backup --help lists all)');
  if (await addSubcommands(program, SUBCOMMANDS, argv, context)) return program;
  program.version(packageJson.version);
  const { bareCommand } = await import('./bare.ts');
  return bareCommand(program, context);
}
