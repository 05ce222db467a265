import type { Command } from 'commander';
import { variablesHelp } from '../../standalone/variables.ts';
import type { CliContext } from './context.ts';

/** `km-backup [OUTPUT]`, called as the playbook calls its script: no subcommand; the environment sets everything else. */
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
    .action(async (output: string | undefined) => {
      // Only here, so that --help is answered at once.
      const { runBare } = await import('./bare-run.ts');
      await runBare(output, context);
    });
}
