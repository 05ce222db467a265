import { CommanderError } from 'commander';
import { ArchiveError, ExitCode } from '../../archive/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import { programFor } from './commands.ts';
import { abortOnSignals, type CliContext } from './context.ts';

/** Runs one command line and returns its exit status. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ExitCode> {
  const { signal, stop } = abortOnSignals();
  const context: CliContext = { env, signal, exitCode: ExitCode.ok };
  // `km-backup ls … | head` is not a failure.
  process.stdout.on('error', (error) => {
    if (codeOf(error) === 'EPIPE') process.exit(context.exitCode);
    throw error;
  });
  // Progress that nobody reads any more (the scheduler was killed) must not end a backup half-way.
  process.stderr.on('error', () => {});
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
