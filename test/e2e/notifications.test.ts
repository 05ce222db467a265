/** The pods of runs tell a webhook and a monitor, whose addresses lie in Secrets, and nobody else reads them. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { signature } from '../../src/notify/notice.ts';
import type { Kubectl } from '../support/kubectl.ts';
import { machineAddress } from '../support/machine-address.ts';
import { runNow, schedule } from '../support/resources.ts';
import { claim } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

const KEY = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const SECRET = 'secret-path-4711';

interface Seen {
  readonly path: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

let kubectl: Kubectl;
let remove: () => Promise<void>;
let server: Server;
const seen: Seen[] = [];

const app = (allowEmpty: boolean) =>
  schedule('app', {
    suspend: true,
    source: { persistentVolumeClaim: { claimName: 'data' }, allowEmpty },
    backoffLimit: 0,
    notifications: [
      { name: 'team', webhook: { secretRef: { name: 'team' } } },
      { name: 'monitor', ping: { secretRef: { name: 'monitor' } } },
      { name: 'gone', ping: { secretRef: { name: 'no-such-secret' } } },
    ],
  });

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('notify'));
  const host = await machineAddress(kubectl);
  server = createServer(async (request, response) => {
    const body = (await request.toArray()).join('');
    seen.push({ path: request.url!, headers: request.headers, body });
    response.writeHead(204).end();
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  const secret = (name: string, stringData: object) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name },
    stringData,
  });
  await kubectl.apply([
    claim('data'),
    secret('team', { url: `http://${host}:${port}/hook/${SECRET}`, key: KEY }),
    secret('monitor', { url: `http://${host}:${port}/ping/${SECRET}` }),
    app(false),
  ]);
});
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  await remove?.();
});

const pathsSince = (count: number) =>
  seen
    .slice(count)
    .map(({ path }) => path.replace(SECRET, 'X'))
    .toSorted();

/** Everything that anybody can read about a run without reading Secrets. */
async function said(backup: string): Promise<string> {
  const { metadata } = (await kubectl.list('pods', '-l', `km.duskmantle.io/backup=${backup}`))[0]!;
  const operator = kubectlIn(cluster().operator.namespace);
  const texts = await Promise.all([
    kubectl.run(['logs', metadata.name]),
    kubectl.run(['get', 'pods,jobs,kmbackups,kmbackupschedules,events', '-o', 'json']),
    operator.run(['logs', `deployment/${cluster().operator.name}`, '--tail=-1']),
  ]);
  return texts.join('\n');
}

it('a run that fails: start, then fail, signed', async () => {
  // The claim is empty, which is refused.
  const { metadata, status } = await runNow(kubectl, 'app');
  expect(status.phase).toBe('Failed');
  expect(pathsSince(0)).toEqual(['/hook/X', '/hook/X', '/ping/X/fail', '/ping/X/start']);
  const [begun, ended] = seen.filter(({ path }) => path.startsWith('/hook'));
  expect(JSON.parse(begun!.body)).toMatchObject({
    type: 'io.duskmantle.km.backup.started',
    subject: `${kubectl.namespace}/${metadata.name}`,
  });
  const { headers, body } = ended!;
  expect(JSON.parse(body)).toMatchObject({
    type: 'io.duskmantle.km.backup.failed',
    data: { outcome: 'Failed', reason: status.reason },
  });
  const key = Buffer.from(KEY.replace('whsec_', ''), 'base64');
  const [id, timestamp] = [String(headers['webhook-id']), String(headers['webhook-timestamp'])];
  expect(headers['webhook-signature']).toBe(signature(key, id, timestamp, body));
  const text = await said(metadata.name);
  expect(text).toMatch(/notification gone: its Secret does not exist/);
  expect(text).not.toContain(SECRET);
  expect(text).not.toContain(KEY);
});

it('a run that succeeds: start, then success; its pod has the label for a NetworkPolicy', async () => {
  const count = seen.length;
  await kubectl.apply([app(true)]);
  const { metadata, status } = await runNow(kubectl, 'app');
  expect([status.phase, status.message]).toEqual(['Succeeded', expect.anything()]);
  expect(pathsSince(count)).toEqual(['/hook/X', '/hook/X', '/ping/X', '/ping/X/start']);
  const ended = seen.slice(count).findLast(({ path }) => path.startsWith('/hook'))!;
  expect(JSON.parse(ended.body)).toMatchObject({
    type: 'io.duskmantle.km.backup.succeeded',
    data: { outcome: 'Succeeded', archive: { name: status.archive.name } },
  });
  const selector = `km.duskmantle.io/backup=${metadata.name},km.duskmantle.io/notifies=true`;
  expect(await kubectl.list('pods', '-l', selector)).toHaveLength(1);
  expect(await said(metadata.name)).not.toContain(SECRET);
});
