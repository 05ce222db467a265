/** Runs km-backup to its end. */
import { spawn } from 'node:child_process';
import type { Ended } from './copier.ts';
import type { Environment } from './variables.ts';

/** What is kept of each stream: its end. */
const KEPT = 64 * 1024;

export function runProgram(
  program: string,
  args: readonly string[],
  env: Environment,
  signal: AbortSignal,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const kept = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      kept.out = (kept.out + text).slice(-KEPT);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      kept.err = (kept.err + text).slice(-KEPT);
    });
    const stop = () => child.kill('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const end = (status: number | null, error?: Error) => {
      signal.removeEventListener('abort', stop);
      resolve({ status, ...kept, ...(error && { err: error.message }) });
    };
    child.once('error', (error) => end(null, error));
    child.once('close', (status) => end(status));
  });
}
