import { CommanderError } from 'commander';
import { ArchiveError, ExitCode } from '../../archive/index.ts';
import { printable } from '../../log/printable.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { refuseOtherEncodings } from './arguments.ts';
import { programFor } from './commands.ts';
import { abortOnSignals, type CliContext } from './context.ts';
import { OutputWatch, say } from './output.ts';

/** Runs one command line and returns its exit status. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ExitCode> {
  // Not disposed: a write that fails after the command must not end in a stack trace either.
  const output = new OutputWatch();
  const { signal, stop } = abortOnSignals();
  const context: CliContext = { env, signal, outputLost: output.lost, exitCode: ExitCode.ok };
  let exitCode: ExitCode;
  try {
    refuseOtherEncodings(argv, env);
    const program = await programFor(argv, context);
    await program.parseAsync(argv as string[], { from: 'user' });
    exitCode = context.exitCode;
  } catch (error) {
    exitCode = output.lost.aborted && error === output.lost.reason ? context.exitCode : report(error);
  } finally {
    stop();
  }
  await output.settled();
  return exitCodeAfter(exitCode, output.lost);
}

/** A reader that closed the pipe has read enough. Output lost for any other reason is a failure. */
function exitCodeAfter(exitCode: ExitCode, lost: AbortSignal): ExitCode {
  const code = lost.aborted ? codeOf(lost.reason) : 'EPIPE';
  if (code === 'EPIPE') return exitCode;
  say(`km-backup: standard output cannot be written (${code ?? lost.reason}).`);
  return exitCode === ExitCode.ok ? ExitCode.failure : exitCode;
}

function report(error: unknown): ExitCode {
  // Commander has already printed its own errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (error instanceof ArchiveError && error.reason !== 'Internal') {
    // Indented lines are part of a list; a name cannot forge one at the start of a line.
    for (const line of `km-backup: ${error.message}`.split(/\n(?= {2})/)) say(line);
    return error.exitCode;
  }
  if (isSystemError(error)) {
    say(`km-backup: the system refused: ${(error as Error).message}.`);
    return ExitCode.failure;
  }
  reportFault(error);
  return ExitCode.failure;
}

/** Prints the stack, which a bug report needs. */
function reportFault(error: unknown): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = text.split('\n').map((line) => printable(line, 1000));
  process.stderr.write(`km-backup: a fault of km-backup itself, please report it: ${lines.join('\n')}\n`);
}
