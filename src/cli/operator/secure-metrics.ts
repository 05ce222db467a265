/** Metrics and health by HTTPS, to those whom RBAC lets get the non-resource URL /metrics. */
import type { Clock } from '../../clock/index.ts';
import {
  bearerGuard,
  followCertificate,
  type Route,
  type RunningServer,
  readCertificate,
  selfSigned,
  startHttpServer,
} from '../../health/index.ts';
import { reviewAccess } from '../../kube/access-review.ts';
import type { ApiServer } from '../../kube/api-server.ts';
import { KubeClient, type RequestObserver } from '../../kube/client.ts';
import type { Logger } from '../../log/index.ts';

/** One right for every path: the built-in roles let anybody get /healthz. */
const RIGHT_TO = '/metrics';
/** Prometheus gives up after 10 s by default. */
const REVIEW_TIMEOUT_MS = 4_000;

/** @throws {CertificateError} when `tlsDir` holds no usable certificate. */
export async function startSecureServer(options: {
  readonly host: string;
  readonly port: number;
  /** Absent: a certificate of its own, which nobody can check. */
  readonly tlsDir: string | undefined;
  readonly name: string;
  readonly routes: Readonly<Record<string, Route>>;
  readonly apiServer: ApiServer;
  readonly observe: RequestObserver;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): Promise<RunningServer> {
  const { host, port, tlsDir, name, routes, apiServer, observe, logger, clock, signal } = options;
  const client = new KubeClient(apiServer, { timeoutMs: REVIEW_TIMEOUT_MS, observe, clock });
  const tls = tlsDir === undefined ? selfSigned(name, clock.now()) : await readCertificate(tlsDir);
  const server = await startHttpServer({
    host,
    port,
    routes,
    tls,
    guard: bearerGuard({
      review: (token) => reviewAccess(client, token, RIGHT_TO),
      right: `get the non-resource URL ${RIGHT_TO}`,
      clock,
      onError: (error) => logger.warn({ error: String(error) }, 'cannot check who asks for metrics'),
    }),
    onError: (error) => logger.warn({ error: String(error) }, 'an HTTPS request failed'),
  });
  if (tlsDir !== undefined) {
    void followCertificate({
      dir: tlsDir,
      current: tls,
      clock,
      signal,
      onChange: (certificate) => {
        server.setCertificate(certificate);
        logger.info({ dir: tlsDir }, 'serving with a new certificate');
      },
      onError: ({ message }) => logger.warn({ error: message }, 'the certificate in use stays'),
    });
  }
  return {
    ...server,
    close: async () => {
      await server.close();
      await client.close();
    },
  };
}
