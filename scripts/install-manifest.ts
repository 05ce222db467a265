import { homedir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ensureClients } from '../test/cluster/binaries.ts';
import { cacheRoot } from '../test/cluster/layout.ts';
import { ensurePackages } from '../test/cluster/packages.ts';
import { run } from '../test/cluster/process.ts';

const CHART = join(import.meta.dirname, '../charts/km-backup-operator');
const NAMESPACE = 'km-system';

const namespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
};

/** Everything `kubectl apply` needs for an install without Helm: namespace, CRDs, and the chart with its defaults. */
export async function installManifest(crds: readonly string[]): Promise<string> {
  const log = (line: string) => console.error(line);
  await ensurePackages('control-plane-only', log);
  const { helm } = await ensureClients(cacheRoot(process.env, homedir()), log);
  const hookless = ['template', 'km-backup-operator', CHART, '--no-hooks'];
  const chart = await run(helm, [...hookless, '--namespace', NAMESPACE]);
  return [
    '# Generated from charts/km-backup-operator by "npm run generate". Do not edit.\n',
    stringify(namespace),
    ...crds.map((crd) => `---\n${crd}`),
    chart.stdout
      .replaceAll('app.kubernetes.io/managed-by: Helm', 'app.kubernetes.io/managed-by: kubectl')
      .replaceAll(/^ +helm\.sh\/chart: .*\n/gm, ''),
  ].join('');
}
