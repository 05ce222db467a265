import { readFile } from 'node:fs/promises';
import { type Clock, systemClock } from '../clock/index.ts';
import type { ApiServer } from './api-server.ts';
import { KubeConfigError } from './errors.ts';
import { chosenContext } from './kubeconfig.ts';

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

/**
 * The current context of a kubeconfig, credential plugins included.
 * @throws {KubeConfigError} when the file does not say how to reach an API server.
 */
export async function fromKubeconfig(file: string): Promise<ApiServer> {
  return (await chosenContext({ files: [file] })).server;
}
