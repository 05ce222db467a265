import { Command, InvalidArgumentError, Option } from 'commander';
import { HELP } from '../help.ts';

export interface OperatorArguments {
  namespaces: string[];
  httpHost: string;
  httpPort: number;
  image: string;
  imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  imagePullSecrets: string[];
  allowScripts: boolean;
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

/** The operator's command line, in full: `--help` prints it, docs/operator-cli.md is made from it. */
export function operatorCommand(): Command {
  return new Command('km-backup-operator')
    .configureHelp(HELP)
    .description('Runs backups of PersistentVolumeClaims as KmBackupSchedule resources say.')
    .option('--namespaces <a,b>', 'namespaces to serve; empty for all', list, [])
    .option('--http-host <address>', 'address of the HTTP server', '0.0.0.0')
    .option('--http-port <port>', 'port of /metrics, /healthz, /livez and /readyz', atLeast(0), 8080)
    .requiredOption('--image <image>', 'image of the backup Jobs')
    .addOption(
      new Option('--image-pull-policy <policy>', 'pull policy of the backup Jobs')
        .choices(['Always', 'IfNotPresent', 'Never'])
        .default('IfNotPresent'),
    )
    .option('--image-pull-secrets <a,b>', "secrets that pull the image, in the Jobs' namespaces", list, [])
    .option('--allow-scripts', 'run the scripts that schedules name (lets their authors run code)', false)
    .option('--no-leader-elect', 'do not ask for a Lease; only ever run one replica so')
    .option('--lease-name <name>', 'Lease that elects the leader', 'km-backup-operator')
    .option('--lease-duration <seconds>', 'a Lease not renewed for so long is free', atLeast(1), 15)
    .option('--renew-deadline <seconds>', 'a leader that could not renew for so long ends', atLeast(1), 10)
    .option('--retry-period <seconds>', 'pause between tries to get or renew the Lease', atLeast(1), 2)
    .option('--max-concurrent-runs <n>', 'backup runs at once, in all', atLeast(1), 20)
    .option('--max-concurrent-runs-per-namespace <n>', 'backup runs at once in one namespace', atLeast(1), 5)
    .option('--workers <n>', 'reconciles at once, of each kind', atLeast(1), 10)
    .option('--api-qps <n>', 'requests a second to the API server, at most', atLeast(1), 200)
    .option('--kubeconfig <file>', 'kubeconfig to use outside a cluster')
    .option('--log-level <level>', 'debug, info, warn or error', 'info');
}

/** Prints the reason and exits with 2 on bad arguments. */
export function parseArguments(
  argv: readonly string[],
  environment: Record<string, string | undefined>,
): OperatorArguments {
  const command = operatorCommand().exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2));
  command.parse(argv);
  const options = command.opts<
    Omit<OperatorArguments, 'podName' | 'podNamespace' | 'kubeconfig'> & { kubeconfig?: string }
  >();
  return {
    ...options,
    kubeconfig: options.kubeconfig,
    podName: environment['POD_NAME'],
    podNamespace: environment['POD_NAMESPACE'],
  };
}
