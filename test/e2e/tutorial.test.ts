/** docs/tutorial.md: every command of the page in order, as a new user copies them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../cluster/process.ts';
import { runPage, shellBlocks } from '../support/doc-blocks.ts';
import { root } from '../support/doc-pages.ts';
import { cluster, installOperator, kubectlIn } from './context.ts';

const NAMESPACE = 'km-tutorial';
const FILES = 'Take over the world.\nday 1\nday 2\n';
let work: string;

const removeNamespace = () =>
  kubectlIn('default').run(['delete', 'namespace', NAMESPACE, '--ignore-not-found', '--timeout=120s']);

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-tutorial-'));
  await removeNamespace();
  const { helm, kubeconfig, operator } = cluster();
  const flags = ['--namespace', operator.namespace, '--wait'];
  await run(helm, ['uninstall', operator.name, ...flags], { env: { KUBECONFIG: kubeconfig } });
});
afterAll(async () => {
  await removeNamespace();
  await rm(work, { recursive: true, force: true });
  // The page installs the chart with its defaults.
  await installOperator();
});

it('brings a lost folder back, and keeps what was written since', async () => {
  const blocks = shellBlocks('tutorial.md');
  expect(blocks.length).toBeGreaterThan(8);
  const start = performance.now();
  const printed = await runPage(blocks, cluster(), work, { env: { IMAGE: cluster().image }, in: root });
  const seconds = Math.round((performance.now() - start) / 1000);
  process.stdout.write(`${printed}\ndocs/tutorial.md took ${seconds} s\n`);
  expect(printed).toContain('plans/2027.md');
  expect(printed).toContain(FILES);
});
