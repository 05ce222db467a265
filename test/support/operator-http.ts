import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Kubectl } from './kubectl.ts';

/** The operator's HTTP port, forwarded to this machine. */
export interface OperatorHttp {
  readonly port: number;
  readonly text: (path: string) => Promise<string>;
  readonly close: () => void;
}

/** `kubectl` is in the operator's namespace. */
export async function forwardOperatorHttp(kubectl: Kubectl, service: string): Promise<OperatorHttp> {
  const args = kubectl.arguments(['port-forward', `service/${service}`, ':8080']);
  const child = spawn(kubectl.program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`kubectl port-forward ended with ${code}`)));
    createInterface(child.stdout).on('line', (line) => {
      const found = /127\.0\.0\.1:(\d+) ->/.exec(line);
      if (found) resolve(Number(found[1]));
    });
  });
  return {
    port,
    text: async (path) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      return response.text();
    },
    close: () => child.kill(),
  };
}

/** The value of the series that has at least these labels; undefined if there is none. */
export function sample(
  metrics: string,
  name: string,
  labels: Readonly<Record<string, string>>,
): number | undefined {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  for (const line of metrics.split('\n')) {
    const found = /^([a-z_]+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (found?.[1] !== name) continue;
    const present = new Set((found[2] ?? '').match(/[a-z_]+="(?:[^"\\]|\\.)*"/g) ?? []);
    if (wanted.every((label) => present.has(label))) return Number(found[3]);
  }
  return undefined;
}
