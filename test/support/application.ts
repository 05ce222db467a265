import { JOB_USER } from './volume.ts';

/** An application with an SQLite database on a claim: `/healthz`, and `/rows`, which counts what is in it. */
const SERVER = `
const { createServer } = require('node:http');
const { existsSync } = require('node:fs');
const { DatabaseSync } = require('node:sqlite');
createServer((request, response) => {
  if (request.url === '/healthz') return response.end('ok');
  if (request.url !== '/rows' || !existsSync('/data/app.db')) return response.writeHead(404).end('nothing here');
  const db = new DatabaseSync('/data/app.db', { readOnly: true });
  try {
    response.end('rows=' + db.prepare('SELECT count(*) AS n FROM event').get().n);
  } catch (error) {
    response.writeHead(500).end(String(error));
  } finally {
    db.close();
  }
}).listen(8080);
process.on('SIGTERM', () => process.exit(0));
`;

/** A Deployment of one pod, which writes its claim as user 65532. */
export function application(name: string, image: string, claimName: string): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: 1,
      strategy: { type: 'Recreate' },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: 2,
          securityContext: JOB_USER,
          containers: [
            {
              name: 'app',
              image,
              command: ['node', '-e', SERVER],
              ports: [{ containerPort: 8080 }],
              readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 },
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
            },
          ],
          volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
        },
      },
    },
  };
}

export const service = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name },
  spec: { selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] },
});
