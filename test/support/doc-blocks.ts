/** Runs the command blocks of a page of docs/ as a reader would. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../cluster/process.ts';
import { fencedBlocks, sectionOf } from './doc-pages.ts';
import type { Kubectl } from './kubectl.ts';

const root = join(import.meta.dirname, '../..');

/** The `sh` blocks of a page of docs/, or of one of its sections, in order. A block marked `sh skip` is left out. */
export function shellBlocks(page: string, section?: string): string[] {
  const text = section === undefined ? undefined : sectionOf(`docs/${page}`, section);
  return fencedBlocks(`docs/${page}`, text)
    .filter(({ info }) => info === 'sh')
    .map(({ text: block }) => block);
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

interface Programs {
  readonly kubeconfig: string;
  readonly kubectl: string;
  readonly helm: string;
}

/**
 * Runs blocks one after the other in one shell, which has the programs in its path and a copy of the kubeconfig, so that
 * a page may choose a namespace. `work` is a folder for both; `in` is where the commands run.
 */
export async function runPage(
  blocks: readonly string[],
  programs: Programs,
  work: string,
  { env = {}, in: cwd = work }: { env?: Readonly<Record<string, string>>; in?: string } = {},
): Promise<string> {
  const kubeconfig = join(work, 'kubeconfig');
  await mkdir(join(work, 'bin'), { recursive: true });
  await copyFile(programs.kubeconfig, kubeconfig);
  for (const name of ['kubectl', 'helm'] as const) await symlink(programs[name], join(work, 'bin', name));
  const path = `${join(work, 'bin')}:${join(root, 'bin')}:${process.env['PATH']}`;
  return await new Promise((resolve, reject) =>
    execFile(
      'bash',
      ['-euc', blocks.join('\n')],
      { cwd, env: { HOME: work, PATH: path, KUBECONFIG: kubeconfig, ...env }, maxBuffer: 2 ** 24 },
      (error, stdout, stderr) =>
        error ? reject(new Error(`${error.message}\n${stdout}\n${stderr}`)) : resolve(stdout),
    ),
  );
}
