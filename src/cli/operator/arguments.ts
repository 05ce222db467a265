import { Command, InvalidArgumentError, Option } from 'commander';
import { HELP } from '../help.ts';

export interface OperatorArguments {
  namespaces: string[];
  httpHost: string;
  httpPort: number;
  securePort: number | undefined;
  tlsDir: string | undefined;
  page: boolean;
  image: string;
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  imagePullSecrets: string[];
  allowScripts: boolean;
  stepImages: string[];
  elevatedNamespaces: string[];
  defaultUser: boolean;
  leaderElect: boolean;
  leaseName: string;
  leaseDuration: number;
  renewDeadline: number;
  retryPeriod: number;
  maxConcurrentRuns: number;
  maxConcurrentRunsPerNamespace: number;
  workers: number;
  apiQps: number;
  logLevel: string;
  kubeconfig: string | undefined;
  podName: string | undefined;
  podNamespace: string | undefined;
}

type Optional = 'securePort' | 'tlsDir' | 'kubeconfig';

function atLeast(minimum: number) {
  return (text: string): number => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < minimum)
      throw new InvalidArgumentError(`must be a whole number from ${minimum}.`);
    return value;
  };
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
}

/** The operator's command line. `--help` prints it, and docs/operator-cli.md is generated from it. */
export function operatorCommand(): Command {
  return new Command('km-backup-operator')
    .configureHelp(HELP)
    .description(
      'Runs backups of PersistentVolumeClaims on the schedules that KmBackupSchedule resources define.',
    )
    .option('--namespaces <a,b>', 'namespaces to serve; empty for all', list, [])
    .option('--http-host <address>', 'address of the HTTP server', '0.0.0.0')
    .option(
      '--http-port <port>',
      'port of /metrics, /healthz, /livez, /readyz and, with --page, the status page',
      atLeast(0),
      8080,
    )
    .option(
      '--secure-port <port>',
      'serve /metrics and /healthz on this port only, by HTTPS, to tokens that may get the non-resource URL /metrics',
      atLeast(0),
    )
    .option(
      '--tls-dir <folder>',
      'tls.crt and tls.key for --secure-port, read again when they change; absent: self-signed, in memory',
    )
    .option(
      '--page',
      'serve the status page at / and /status.json, to anyone who reaches the HTTP server',
      false,
    )
    .requiredOption('--image <image>', 'image of the backup Jobs')
    .addOption(
      new Option('--image-pull-policy <policy>', 'pull policy of the backup Jobs')
        .choices(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent'),
    )
    .option(
      '--image-pull-secrets <a,b>',
      'image pull secrets, which must exist in the namespaces of the Jobs',
      list,
      [],
    )
    .option(
      '--allow-scripts',
      'run the scripts that schedules name; their authors can then run any code in Jobs',
      false,
    )
    .option(
      '--step-images <a,b>',
      'images that the job steps of restores may name, besides --image',
      list,
      [],
    )
    .option(
      '--elevated-namespaces <a,b>',
      'namespaces whose Jobs may run as root with a few capabilities (spec.podTemplate.elevated)',
      list,
      [],
    )
    .option(
      '--no-default-user',
      'name no user in Jobs where neither the resource nor a pod does, so that the platform chooses it (OpenShift)',
    )
    .option('--no-leader-elect', 'do not use a Lease; never run more than one replica then')
    .option('--lease-name <name>', 'Lease that elects the leader', 'km-backup-operator')
    .option(
      '--lease-duration <seconds>',
      'a standby takes a Lease that was not renewed for this long',
      atLeast(1),
      15,
    )
    .option('--renew-deadline <seconds>', 'a leader that could not renew for this long exits', atLeast(1), 10)
    .option('--retry-period <seconds>', 'pause between attempts to get or renew the Lease', atLeast(1), 2)
    .option('--max-concurrent-runs <n>', 'limit of concurrent backup runs, in total', atLeast(1), 20)
    .option(
      '--max-concurrent-runs-per-namespace <n>',
      'limit of concurrent backup runs in one namespace',
      atLeast(1),
      5,
    )
    .option('--workers <n>', 'reconcile workers; schedules and runs share twice this many', atLeast(1), 10)
    .option('--api-qps <n>', 'limit of requests a second to the API server', atLeast(1), 200)
    .option('--kubeconfig <file>', 'kubeconfig to use outside a cluster')
    .option(
      '--log-level <level>',
      'debug, info, warn or error; each SIGUSR2 switches to debug and back',
      'info',
    )
    .addHelpText(
      'after',
      '\nAnother command: "km-backup-operator crds" prints or applies the CustomResourceDefinitions.',
    );
}

/** Parses the arguments. If they are invalid, prints why and exits with 2. */
export function parseArguments(
  argv: readonly string[],
  environment: Record<string, string | undefined>,
): OperatorArguments {
  const command = operatorCommand().exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  command.parse(argv);
  if (command.getOptionValue('tlsDir') !== undefined && command.getOptionValue('securePort') === undefined)
    command.error('error: --tls-dir needs --secure-port');
  const options = command.opts<
    Omit<OperatorArguments, 'podName' | 'podNamespace' | Optional> &
      Partial<Pick<OperatorArguments, Optional>>
  >();
  return {
    ...options,
    securePort: options.securePort,
    tlsDir: options.tlsDir,
    kubeconfig: options.kubeconfig,
    podName: environment['POD_NAME'],
    podNamespace: environment['POD_NAMESPACE'],
  };
}
