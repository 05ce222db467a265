/** `km-backup-operator crds`: the CustomResourceDefinitions of this version, printed or applied. */
import { Command } from 'commander';
import { customResourceDefinition, RESOURCES } from '../../api/crd.ts';
import { FIELD_MANAGER } from '../../api/names.ts';
import { type Clock, sleep, systemClock } from '../../clock/index.ts';
import { KubeClient } from '../../kube/client.ts';
import { fromKubeconfig, inCluster } from '../../kube/config.ts';
import { HELP } from '../help.ts';

interface CrdOptions {
  readonly apply: boolean;
  readonly kubeconfig?: string;
}

interface Definition {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const PATH = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
/** Longer than an API server takes to serve a new kind. */
const PATIENCE_MS = 60_000;
const POLL_MS = 500;

export function crdsCommand(): Command {
  return new Command('km-backup-operator crds')
    .configureHelp(HELP)
    .description('Prints the CustomResourceDefinitions of this version as JSON, for "kubectl apply -f -".')
    .option('--apply', 'apply them instead, and wait until the API server serves them', false)
    .option('--kubeconfig <file>', 'kubeconfig to use outside a cluster');
}

/**
 * Runs the command.
 * @throws {KubeError} when the API server refuses.
 */
export async function runCrds(argv: readonly string[], signal: AbortSignal): Promise<void> {
  const command = crdsCommand().exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  command.parse(argv, { from: 'user' });
  const { apply, kubeconfig } = command.opts<CrdOptions>();
  const definitions = RESOURCES.map(customResourceDefinition);
  if (!apply) {
    process.stdout.write(
      `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: definitions }, null, 2)}\n`,
    );
    return;
  }
  const server = kubeconfig === undefined ? await inCluster(process.env) : await fromKubeconfig(kubeconfig);
  const client = new KubeClient(server);
  try {
    for (const definition of definitions) {
      await applyDefinition(client, definition, signal);
      process.stdout.write(`customresourcedefinition ${definition.metadata.name} applied\n`);
    }
    for (const { metadata } of definitions) await established(client, metadata.name, systemClock, signal);
  } finally {
    await client.close();
  }
}

/** Takes over fields that Helm or kubectl wrote: this version's definition is the only right one. */
function applyDefinition(
  client: KubeClient,
  definition: ReturnType<typeof customResourceDefinition>,
  signal: AbortSignal,
): Promise<unknown> {
  return client.request({
    method: 'PATCH',
    path: `${PATH}/${definition.metadata.name}`,
    query: { fieldManager: FIELD_MANAGER, force: true },
    contentType: 'application/apply-patch+yaml',
    body: definition,
    signal,
  });
}

async function established(
  client: KubeClient,
  name: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const deadline = clock.monotonic() + PATIENCE_MS;
  for (;;) {
    const { status } = await client.request<Definition>({ method: 'GET', path: `${PATH}/${name}`, signal });
    const conditions = status?.conditions ?? [];
    if (conditions.some((condition) => condition.type === 'Established' && condition.status === 'True'))
      return;
    if (clock.monotonic() > deadline)
      throw Object.assign(
        new Error(
          `${name} was applied, but the API server does not serve it. See: kubectl describe crd ${name}`,
        ),
        { code: 'NotEstablished' },
      );
    await sleep(clock, POLL_MS, signal);
  }
}
