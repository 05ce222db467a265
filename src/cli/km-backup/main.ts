import { Command, CommanderError } from 'commander';
import { ArchiveError, ExitCode, errnoOf } from '../../archive/errors.ts';
import { abortOnSignals, type CliContext, type MakeCommand } from './context.ts';

interface Subcommand {
  readonly summary: string;
  /** Loaded only when it runs: start-up counts where a repeat backup takes a fraction of a second. */
  readonly load: () => Promise<{ readonly command: MakeCommand }>;
}

const subcommands: Readonly<Record<string, Subcommand>> = {
  create: { summary: 'make an archive of a directory', load: () => import('./create.ts') },
  list: { summary: 'list the archives of a destination', load: () => import('./list.ts') },
  ls: { summary: 'list what an archive holds', load: () => import('./ls.ts') },
  extract: { summary: 'write chosen files of an archive', load: () => import('./extract.ts') },
  restore: { summary: 'replace a directory by what an archive holds', load: () => import('./restore.ts') },
  verify: { summary: 'read archives and tell whether they are sound', load: () => import('./verify.ts') },
  serve: { summary: 'run backups on a schedule, without Kubernetes', load: () => import('./serve.ts') },
  'run-script': {
    summary: 'run a script that writes the archive, as the playbook allows',
    load: () => import('./run-script.ts'),
  },
  prune: { summary: 'remove the archives that no rule keeps', load: () => import('./prune.ts') },
};

/** Runs one command line and returns its exit status. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ExitCode> {
  // `km-backup ls … | head` is no failure.
  process.stdout.on('error', (error) => {
    if (errnoOf(error) === 'EPIPE') process.exit(ExitCode.ok);
    throw error;
  });
  const { signal, stop } = abortOnSignals();
  const context: CliContext = { env, signal, exitCode: ExitCode.ok };
  try {
    const program = await programFor(argv, context);
    await program.parseAsync(argv as string[], { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return report(error);
  } finally {
    stop();
  }
}

async function programFor(argv: readonly string[], context: CliContext): Promise<Command> {
  const program = new Command('km-backup').description(
    'Backs up a directory into full, plain .tgz archives; a repeat run costs what changed.',
  );
  program.exitOverride().showHelpAfterError('(km-backup --help lists all)');
  const [first = ''] = argv;
  const chosen = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
  if (chosen) {
    const { command } = await chosen.load();
    return program.addCommand(command(context).exitOverride());
  }
  for (const [name, { summary }] of Object.entries(subcommands)) program.command(name).description(summary);
  const { bareCommand } = await import('./bare.ts');
  return bareCommand(program, context);
}

function report(error: unknown): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (error instanceof ArchiveError) {
    process.stderr.write(`km-backup: ${error.message}\n`);
    return error.exitCode;
  }
  process.stderr.write(
    `km-backup: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return ExitCode.failure;
}
