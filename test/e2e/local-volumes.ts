import { randomBytes } from 'node:crypto';
import type { Kubectl } from '../support/kubectl.ts';
import { type LocalVolume, localVolume, nodeRoot } from '../support/local-volume.ts';
import { nodeIn } from '../support/volume.ts';
import { cluster, kubectlIn } from './context.ts';

export interface LocalVolumes<Name extends string> {
  readonly volumes: Readonly<Record<Name, LocalVolume>>;
  /** Runs a program of Node.js as root on the node, which sees the volumes at their paths. */
  readonly asRoot: (program: string) => Promise<string>;
  readonly remove: () => Promise<void>;
}

/** Claims in the namespace of `kubectl` whose files lie on the node's disk, with any owners. */
export async function localVolumes<Name extends string>(
  kubectl: Kubectl,
  claims: readonly Name[],
): Promise<LocalVolumes<Name>> {
  const namespace = `km-e2e-host-${randomBytes(3).toString('hex')}`;
  const host = kubectlIn(namespace);
  // Without Pod Security.
  await host.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    nodeRoot('root', cluster().image),
  ]);
  const asRoot = (program: string) => nodeIn(host, 'root', program);
  const [node] = await kubectl.list('nodes');
  const hostname = node!.metadata.labels!['kubernetes.io/hostname']!;
  const made = claims.map((name) => [name, localVolume(kubectl, hostname, name)] as const);
  const paths = JSON.stringify(made.map(([, { path }]) => path));
  await host.run(['wait', 'pod/root', '--for=condition=Ready', '--timeout=180s']);
  await asRoot(
    `import { mkdirSync } from 'node:fs'; for (const path of ${paths}) mkdirSync(path, { recursive: true })`,
  );
  await kubectl.apply(made.flatMap(([, { objects }]) => objects));
  return {
    volumes: Object.fromEntries(made) as Record<Name, LocalVolume>,
    asRoot,
    remove: async () => {
      await asRoot(
        `import { rmSync } from 'node:fs'; for (const path of ${paths}) rmSync(path, { recursive: true, force: true })`,
      );
      await kubectl.run(['delete', 'pv', ...made.map(([, { name }]) => name), '--wait=false']);
      await host.run(['delete', 'namespace', namespace, '--wait=false']);
    },
  };
}
