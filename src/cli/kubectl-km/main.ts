import { CommanderError } from 'commander';
import { ExitCode } from '../../api/exit-codes.ts';
import { FleetError, kubeAdvice } from '../../fleet/errors.ts';
import { KubeConfigError, KubeError } from '../../kube/errors.ts';
import { printable } from '../../log/printable.ts';
import { OutputWatch, say } from '../km-backup/output.ts';
import { programFor } from './commands.ts';
import type { PluginContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';

/** Runs one command line and returns its exit status. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<ExitCode> {
  const output = new OutputWatch();
  const { signal, stop } = untilInterrupted();
  const context: PluginContext = { env, signal, exitCode: ExitCode.ok, onEnd: [] };
  let exitCode: ExitCode;
  try {
    if (argv[0] === '__complete') {
      const { complete } = await import('./complete.ts');
      await complete(argv.slice(1), context);
    } else {
      const program = await programFor(argv, context);
      await program.parseAsync(argv as string[], { from: 'user' });
    }
    exitCode = context.exitCode;
  } catch (error) {
    exitCode = report(error);
  } finally {
    stop();
    for (const end of context.onEnd) await end();
  }
  await output.settled();
  return exitCode;
}

function report(error: unknown): ExitCode {
  // Commander has already printed its own errors.
  if (error instanceof CommanderError) return error.exitCode === 0 ? ExitCode.ok : ExitCode.usage;
  if (error instanceof FleetError) {
    say(`kubectl km: ${error.message}`);
    return error.exitCode;
  }
  if (error instanceof KubeConfigError) {
    say(`kubectl km: ${error.message}`);
    return ExitCode.usage;
  }
  if (error instanceof KubeError) {
    say(`kubectl km: ${kubeAdvice(error)}`);
    return ExitCode.failure;
  }
  if (error instanceof Error && 'code' in error && 'syscall' in error) {
    say(`kubectl km: the system refused: ${error.message}.`);
    return ExitCode.failure;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const lines = text.split('\n').map((line) => printable(line, 1000));
  process.stderr.write(`kubectl km: a fault of the plugin itself, please report it: ${lines.join('\n')}\n`);
  return ExitCode.failure;
}
