import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Command, Option } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import type { ExitCode } from '../../api/exit-codes.ts';
import { systemClock } from '../../clock/index.ts';
import type { Cluster } from '../../fleet/cluster.ts';
import { wholeResources } from '../../fleet/whole-resources.ts';
import { KubeClient } from '../../kube/client.ts';
import { inCluster } from '../../kube/config.ts';
import { type ChosenContext, chosenContext } from '../../kube/kubeconfig.ts';
import { resources } from '../../operator/resources.ts';

/** What the process passes to a command. */
export interface PluginContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT and SIGTERM, with a FleetError as its reason. */
  readonly signal: AbortSignal;
  /** The exit status, unless the command throws. */
  exitCode: ExitCode;
  /** Called at the end, whatever happened. */
  readonly onEnd: (() => Promise<unknown>)[];
}

export interface ClusterFlags {
  readonly namespace?: string;
  readonly context?: string;
  readonly kubeconfig?: string;
}

/** A cluster, and the namespace that the flags or the context name. */
export interface Connected {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly context: string;
}

/** Flags as those of kubectl. */
export function addClusterFlags(command: Command): Command {
  return command
    .option('-n, --namespace <name>', 'namespace (default: that of the context)')
    .option('--context <name>', 'context of the kubeconfig (default: the current one)')
    .option('--kubeconfig <file>', 'kubeconfig to use (default: $KUBECONFIG, else ~/.kube/config)');
}

export const ALL_NAMESPACES = new Option('-A, --all-namespaces', 'of all namespaces').default(false);

/** @throws {KubeConfigError} when nothing says how to reach a cluster. */
export async function connect(
  flags: ClusterFlags,
  context: PluginContext,
  program = 'kubectl-km',
): Promise<Connected> {
  const chosen = await contextOf(flags, context);
  const client = new KubeClient(chosen.server, {
    userAgent: `${program}/${packageJson.version}`,
    // A person waits: two tries, and then the reason.
    attempts: 2,
    // Each costs a TLS handshake, and a command asks for little.
    connections: 3,
  });
  context.onEnd.push(() => client.close());
  return {
    cluster: { client, resources: wholeResources(resources(client)), clock: systemClock },
    namespace: flags.namespace ?? chosen.namespace ?? 'default',
    context: chosen.context,
  };
}

async function contextOf(flags: ClusterFlags, { env }: PluginContext): Promise<ChosenContext> {
  const given = flags.kubeconfig ?? env['KUBECONFIG'];
  if (!given && env['KUBERNETES_SERVICE_HOST'] && flags.context === undefined) {
    return { server: await inCluster(env), context: 'in-cluster', namespace: undefined };
  }
  const files = flags.kubeconfig
    ? [flags.kubeconfig]
    : (given?.split(delimiter).filter(Boolean) ?? [join(homedir(), '.kube/config')]);
  return chosenContext({ files, context: flags.context });
}
