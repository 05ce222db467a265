import type { Command } from 'commander';
import { HELP } from './help.ts';
import { ESCAPED_ERRORS } from './km-backup/output.ts';

export interface Subcommand<Context> {
  readonly summary: string;
  /** Called only for the command that runs: a repeat backup takes a fraction of a second, so start-up time matters. */
  readonly load: () => Promise<{ readonly command: (context: Context) => Command }>;
}

export type Subcommands<Context> = Readonly<Record<string, Subcommand<Context>>>;

/**
 * Adds the command that `argv` names, or the names of all if it names none.
 * @returns whether it names one
 */
export async function addSubcommands<Context>(
  program: Command,
  subcommands: Subcommands<Context>,
  [first = '']: readonly string[],
  context: Context,
): Promise<boolean> {
  const chosen = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
  if (chosen) {
    const { command } = await chosen.load();
    program.addCommand(command(context).configureHelp(HELP).configureOutput(ESCAPED_ERRORS).exitOverride());
    return true;
  }
  for (const [name, { summary }] of Object.entries(subcommands)) program.command(name).description(summary);
  return false;
}
