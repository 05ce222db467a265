import { JOB_USER } from './volume.ts';

/** Two stores and a gateway that reads both, as real processes: each holds a generation, which it keeps on its claim. */

const SERVE = (lines: string) => `
const { createServer } = require('node:http');
const fs = require('node:fs');
${lines}
process.on('SIGTERM', () => process.exit(0));
`;

/** Keeps its state in memory and in a file that it only appends to, which it replays when it starts. */
const GRAPH = SERVE(`
const log = '/data/appendonly.log';
let generation = '';
if (fs.existsSync(log)) for (const line of fs.readFileSync(log, 'utf8').split('\\n')) if (line) generation = JSON.parse(line).set;
createServer((request, response) => {
  if (request.method === 'PUT') {
    generation = request.url.slice(1);
    const file = fs.openSync(log, 'a');
    fs.writeSync(file, JSON.stringify({ set: generation }) + '\\n');
    fs.fsyncSync(file);
    fs.closeSync(file);
  }
  response.end(request.url === '/ready' ? 'ok' : generation);
}).listen(8080);`);

const VECTORS = SERVE(`
const { DatabaseSync } = require('node:sqlite');
const db = new DatabaseSync('/data/vectors.db');
db.exec('CREATE TABLE IF NOT EXISTS state(generation TEXT)');
createServer((request, response) => {
  if (request.method === 'PUT') db.prepare('INSERT INTO state VALUES (?)').run(request.url.slice(1));
  const row = db.prepare('SELECT generation FROM state ORDER BY rowid DESC LIMIT 1').get();
  response.end(request.url === '/ready' ? 'ok' : (row?.generation ?? ''));
}).listen(8080);`);

/** Does not start unless both stores hold the generation that it holds itself. */
const GATEWAY = SERVE(`
const file = '/data/generation';
const ask = async (store) => (await fetch('http://' + process.env[store + '_SERVICE_HOST'] + '/generation')).text();
const start = async () => {
  const own = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  const found = [await ask('GRAPH'), await ask('VECTORS'), own];
  if (own !== '' && new Set(found).size > 1) throw new Error('the stores differ: ' + found);
  createServer((request, response) => {
    if (request.method === 'PUT') fs.writeFileSync(file, request.url.slice(1));
    response.end(['/healthz', '/ready'].includes(request.url) ? 'ok' : fs.readFileSync(file, 'utf8'));
  }).listen(8080);
};
start().catch((error) => { console.error(error); process.exit(1); });`);

function workload(kind: 'Deployment' | 'StatefulSet', name: string, image: string, program: string): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      ...(kind === 'Deployment' ? { strategy: { type: 'Recreate' } } : { serviceName: name }),
      template: {
        metadata: { labels },
        spec: {
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: 2,
          securityContext: JOB_USER,
          containers: [
            {
              name,
              image,
              command: ['node', '-e', program],
              readinessProbe: { httpGet: { path: '/ready', port: 8080 }, periodSeconds: 1 },
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
              volumeMounts: [{ name: 'data', mountPath: '/data' }],
            },
          ],
          volumes: [{ name: 'data', persistentVolumeClaim: { claimName: name } }],
        },
      },
    },
  };
}

/** The workloads that deploy/examples/high-availability.yaml names; their claims have the same names. */
export const storesAndGateway = (image: string): { readonly stores: object[]; readonly gateway: object } => ({
  stores: [workload('StatefulSet', 'graph', image, GRAPH), workload('Deployment', 'vectors', image, VECTORS)],
  gateway: workload('Deployment', 'gateway', image, GATEWAY),
});
