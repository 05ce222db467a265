/** Runs the command blocks of a page of docs/ as a reader would. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../cluster/process.ts';
import type { Kubectl } from './kubectl.ts';

const root = join(import.meta.dirname, '../..');

/** The `sh` blocks of a page, or of one of its sections, in order. */
export function shellBlocks(page: string, section?: string): string[] {
  const whole = readFileSync(join(root, 'docs', page), 'utf8');
  const text = section === undefined ? whole : whole.split(`\n## ${section}\n`)[1]!.split('\n## ')[0]!;
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
}

/** Runs a block in the checkout, with `kubectl` in the namespace that `kubectl` is for. */
export async function runBlock(block: string, { program, kubeconfig, namespace }: Kubectl): Promise<string> {
  const kubectl = `kubectl() { ${JSON.stringify(program)} --kubeconfig ${JSON.stringify(kubeconfig)} --namespace ${namespace} "$@"; }`;
  const { stdout } = await run('bash', [
    '-euo',
    'pipefail',
    '-c',
    `cd ${JSON.stringify(root)}\n${kubectl}\n${block}`,
  ]);
  return stdout;
}
