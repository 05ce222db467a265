import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { ensureClients } from '../../cluster/binaries.ts';
import { cacheRoot } from '../../cluster/layout.ts';
import { run } from '../../cluster/process.ts';
import { silent } from '../../cluster/progress.ts';
import type { KubeObject } from '../../support/kubectl.ts';

const CHART = join(import.meta.dirname, '../../../charts/km-backup-operator');

/** The objects of the chart with these `--set` values, in namespace km-system; rejects with Helm's words. */
export const renderChart = (values: readonly string[]): Promise<KubeObject[]> =>
  render(values, ['--no-hooks']);

/** What exists only during an upgrade or `helm test`. */
export async function renderHooks(values: readonly string[]): Promise<KubeObject[]> {
  const hooks = (object: KubeObject) => 'helm.sh/hook' in (object.metadata.annotations ?? {});
  return (await render(values, [])).filter(hooks);
}

async function render(values: readonly string[], flags: readonly string[]): Promise<KubeObject[]> {
  const { helm } = await ensureClients(cacheRoot(process.env, homedir()), silent);
  const set = values.flatMap((value) => ['--set', value]);
  const { stdout } = await run(helm, [
    'template',
    'km-backup-operator',
    CHART,
    '-n',
    'km-system',
    ...flags,
    ...set,
  ]);
  return parseAllDocuments(stdout)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
}
