import { readFileSync, statSync } from 'node:fs';
import { Command, Option } from 'commander';
import packageJson from '../../../package.json' with { type: 'json' };
import { ArchiveError } from '../../archive/index.ts';
import { KubeConfigError } from '../../kube/errors.ts';
import { createLogger, LOG_LEVELS, type LogLevel } from '../../log/index.ts';
import {
  localService,
  localSettings,
  ServerFactory,
  type Service,
  SHORTEST_TOKEN,
  serveOnHttp,
  serveOnStdio,
} from '../../mcp/index.ts';
import { codeOf } from '../../posix/system-error.ts';
import { parseListen } from '../../standalone/environment.ts';
import { readVariable, VARIABLES, variablesHelp } from '../../standalone/variables.ts';
import type { ClusterFlags } from '../kubectl-km/context.ts';
import type { CliContext } from './context.ts';
import { collect } from './option-values.ts';
import { say, warn } from './output.ts';

interface Flags extends ClusterFlags {
  image?: string;
  source?: string;
  destination?: string;
  target: string[];
  cluster: boolean;
  http?: string;
  tokenFile?: string;
  allowDestructive: boolean;
  logLevel: LogLevel;
}

export function command(context: CliContext): Command {
  return new Command('mcp')
    .description(
      'serve tools for AI assistants by the Model Context Protocol, on standard input and output or by HTTP: for one destination, or for a namespace of a cluster',
    )
    .optionsGroup('One destination:')
    .option('--source <dir>', 'directory to back up (default: $KM_BACKUP_SOURCE, else $KM_STATE_PATH)')
    .option(
      '--destination <dir>',
      'directory of the archives (default: $KM_BACKUP_DEST, else $KM_BACKUP_DEST_PATH, else backups/archives in the source)',
    )
    .option(
      '--target <dir>',
      'also allow restores of this directory and those in it, besides the source; may be repeated',
      collect,
      [],
    )
    .optionsGroup('A cluster, with your own rights:')
    .option('--cluster', 'implied by the flags below', false)
    .option(
      '-n, --namespace <name>',
      'the only namespace that the tools reach (default: that of the context)',
    )
    .option('--context <name>', 'context of the kubeconfig (default: the current one)')
    .option('--kubeconfig <file>', 'kubeconfig to use (default: $KUBECONFIG, else ~/.kube/config)')
    .option(
      '--image <image>',
      'image that has km-backup, for pods that read archives (default: that of the Jobs of the operator)',
    )
    .optionsGroup('Options:')
    .option(
      '--http <[host:]port>',
      'serve by HTTP on loopback, at /mcp, instead of standard input and output',
    )
    .option(
      '--token-file <file>',
      `file with the bearer token of HTTP clients, at least ${SHORTEST_TOKEN} characters (default: $KM_BACKUP_MCP_TOKEN)`,
    )
    .option(
      '--allow-destructive',
      'run prune and restore by the digest of their plan alone, without asking a person',
      false,
    )
    .addOption(
      new Option('--log-level <level>', 'lowest level to log, on standard error')
        .choices([...LOG_LEVELS])
        .default('info'),
    )
    .addHelpText(
      'after',
      `
Variables (an empty one counts as unset):
${variablesHelp(['mcp', 'both', 'all'])}

Exit status: 0 when the client goes away or after SIGTERM or SIGINT, 2 if a flag or variable is invalid.`,
    )
    .action((flags: Flags) => run(flags, context));
}

async function run(flags: Flags, context: CliContext): Promise<void> {
  const http = flags.http === undefined ? undefined : httpSettings(flags.http, flags.tokenFile, context);
  if (!http && flags.tokenFile !== undefined) {
    throw new ArchiveError('Usage', '--token-file is for HTTP clients: pass --http too.');
  }
  const { service, close } = isForCluster(flags)
    ? await clusterOf(flags, context)
    : { service: localService(localSettings(environmentOf(flags, context), flags.target, () => new Date())) };
  const factory = new ServerFactory(service, {
    version: packageJson.version,
    allowDestructive: flags.allowDestructive,
    logger: createLogger({ level: flags.logLevel, name: 'km-backup' }),
  });
  const { signal } = context;
  try {
    if (http) await serveOnHttp(factory, http, { signal, onListening: (url) => say(`Listening on ${url}`) });
    else await serveOnStdio(factory, signal);
  } finally {
    await close?.();
  }
}

function isForCluster({ cluster, namespace, context, kubeconfig, image }: Flags): boolean {
  return cluster || [namespace, context, kubeconfig, image].some((flag) => flag !== undefined);
}

/** Loaded only here: the client of a cluster costs time and memory. */
async function clusterOf(
  flags: Flags,
  { env, signal }: CliContext,
): Promise<{ service: Service; close?: () => Promise<unknown> }> {
  const { source, destination, target } = flags;
  const local = Object.entries({ source, destination, target: target[0] }).find(([, value]) => value);
  if (local) throw new ArchiveError('Usage', `--${local[0]} is for one destination, not for a cluster.`);
  const [{ connect }, { clusterService }] = await Promise.all([
    import('../kubectl-km/context.ts'),
    import('../../mcp/cluster/service.ts'),
  ]);
  const onEnd: (() => Promise<unknown>)[] = [];
  try {
    const connected = await connect(flags, { env, signal, exitCode: 0, onEnd }, 'km-backup-mcp');
    const caller = { ...connected, image: flags.image };
    return { service: clusterService(caller), close: () => Promise.all(onEnd.map((end) => end())) };
  } catch (error) {
    if (error instanceof KubeConfigError) throw new ArchiveError('Usage', error.message, { cause: error });
    throw error;
  }
}

/** Flags take precedence over variables. A script must not get the token. */
function environmentOf({ source, destination }: Flags, { env }: CliContext) {
  const [token] = VARIABLES.mcpToken.names;
  return {
    ...env,
    ...(source !== undefined && { KM_BACKUP_SOURCE: source }),
    ...(destination !== undefined && { KM_BACKUP_DEST: destination }),
    [token]: undefined,
  };
}

function httpSettings(address: string, tokenFile: string | undefined, { env }: CliContext) {
  const listen = parseListen(address);
  if (!listen) {
    throw new ArchiveError(
      'Usage',
      `--http ${JSON.stringify(address)}: must be PORT or HOST:PORT, such as 127.0.0.1:8021.`,
    );
  }
  const token = tokenFile === undefined ? readVariable(env, 'mcpToken')?.value.trim() : tokenIn(tokenFile);
  const from = tokenFile ?? VARIABLES.mcpToken.names[0];
  if (token === undefined || token === '') {
    throw new ArchiveError(
      'Usage',
      'A token is missing: pass --token-file, or set KM_BACKUP_MCP_TOKEN. `openssl rand -hex 32` makes one.',
    );
  }
  if (token.length < SHORTEST_TOKEN || /\s/.test(token)) {
    throw new ArchiveError(
      'Usage',
      `The token of ${from} must have at least ${SHORTEST_TOKEN} characters and no spaces. \`openssl rand -hex 32\` makes one.`,
    );
  }
  return { ...listen, token };
}

function tokenIn(file: string): string {
  try {
    if (statSync(file).mode & 0o007)
      warn(`${file} can be read by every user of this machine: chmod o= ${file}`);
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new ArchiveError('Usage', `${file}: the token cannot be read (${codeOf(error) ?? error}).`);
  }
}
