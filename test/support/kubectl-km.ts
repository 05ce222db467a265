import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { expect } from 'vitest';
import type { Ended } from './km-backup.ts';

export const PLUGIN = path.join(import.meta.dirname, '../../bin/kubectl-km');

export interface PluginHow {
  readonly kubeconfig: string;
  readonly env?: Record<string, string>;
  readonly input?: string;
  readonly onStart?: (child: ChildProcess) => void;
}

/** Runs the plugin as kubectl would, for at most two minutes. */
export function kubectlKm(args: readonly string[], how: PluginHow): Promise<Ended> {
  const { PATH, HOME, NODE_COMPILE_CACHE } = process.env;
  const env = { PATH, HOME, NODE_COMPILE_CACHE, KUBECONFIG: how.kubeconfig, ...how.env };
  return new Promise((resolve) => {
    const child = spawn(PLUGIN, args, { env, timeout: 120_000, stdio: 'pipe' });
    how.onStart?.(child);
    const text = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name].setEncoding('utf8').on('data', (chunk: string) => {
        text[name] += chunk;
      });
    child.stdin.end(how.input ?? '');
    child.on('close', (code) => resolve({ code, ...text }));
  });
}

/** Checks that nothing that was printed can drive a terminal, and that there is no stack trace. */
export function expectPlain({ stdout, stderr }: Ended): void {
  expect(stdout + stderr).not.toMatch(/^\s+at .+:\d+/m);
  expect(stdout + stderr).not.toMatch(/a fault of the plugin itself/);
  expect(stdout + stderr).toMatch(/^(?:[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|\n)*$/u);
}
