import { readFile } from 'node:fs/promises';
import { type Clock, systemClock } from '../clock/index.ts';
import type { ApiServer } from './api-server.ts';
import { KubeConfigError } from './errors.ts';
import { plainKubeconfig } from './kubeconfig.ts';

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
/** The kubelet rotates the token on disk. client-go reads it this often too. */
const TOKEN_TTL_MS = 60_000;

/** The service account of the pod this process runs in. */
export async function inCluster(
  environment: Record<string, string | undefined>,
  { directory = SERVICE_ACCOUNT, clock = systemClock }: { directory?: string; clock?: Clock } = {},
): Promise<ApiServer> {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  if (!host) throw new KubeConfigError('not in a pod: KUBERNETES_SERVICE_HOST is not set; use --kubeconfig');
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443';
  const ca = await readFile(`${directory}/ca.crt`);
  let token: { value: string; readAt: number } | undefined;
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    tls: { ca },
    async authenticate() {
      const now = clock.monotonic();
      if (!token || now - token.readAt > TOKEN_TTL_MS) {
        token = { value: (await readFile(`${directory}/token`, 'utf8')).trim(), readAt: now };
      }
      return { authorization: `Bearer ${token.value}` };
    },
    forgetCredentials() {
      token = undefined;
    },
  };
}

/** The current context of a kubeconfig, exec and OIDC plugins included. */
export async function fromKubeconfig(file: string): Promise<ApiServer> {
  const plain = await plainKubeconfig(file);
  if (plain) return plain;
  // Loaded only here: it costs 90 MB of memory.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(file);
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new KubeConfigError(`${file} has no current context with a cluster`);
  if (cluster.proxyUrl)
    throw new KubeConfigError(`${file}: proxy-url is not supported; reach the API server directly`);
  const options: Parameters<typeof config.applyToHTTPSOptions>[0] & Record<string, unknown> = {};
  await config.applyToHTTPSOptions(options);
  const pick = (name: string) => (options[name] === undefined ? {} : { [name]: options[name] });
  return {
    url: cluster.server.replace(/\/$/, ''),
    tls: {
      ...pick('ca'),
      ...pick('cert'),
      ...pick('key'),
      ...pick('rejectUnauthorized'),
      ...pick('servername'),
    },
    async authenticate() {
      const fresh: Parameters<typeof config.applyToHTTPSOptions>[0] = {};
      await config.applyToHTTPSOptions(fresh);
      const basic = fresh.auth && `Basic ${Buffer.from(fresh.auth).toString('base64')}`;
      return {
        ...(basic && { authorization: basic }),
        ...(fresh.headers as Record<string, string> | undefined),
      };
    },
  };
}
