/** Metrics over TLS, with the real operator and the answers of a real API server to its reviews. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { selfSigned } from '../../src/health/index.ts';
import { checkout } from '../support/backup.ts';
import { type OwnNamespace, ownNamespace } from '../support/kube.ts';
import { eventually } from '../support/kubectl.ts';
import { renderChart } from './chart/render.ts';

let own: OwnNamespace;
let folder: string;
/** Kubeconfig of the operator's service account, with the rights that the chart gives for this and no others. */
let kubeconfig: string;
const children: ChildProcess[] = [];

async function serviceAccount(name: string): Promise<string> {
  const path = `/api/v1/namespaces/${own.name}/serviceaccounts`;
  await own.client.request({ method: 'POST', path, body: { metadata: { name } } });
  const made = await own.client.request<{ status: { token: string } }>({
    method: 'POST',
    path: `${path}/${name}/token`,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  });
  return made.status.token;
}

/** Creates the objects that the chart renders for metrics, under names of this test. */
async function grant(rendered: Awaited<ReturnType<typeof renderChart>>): Promise<void> {
  for (const object of rendered) {
    const { kind, metadata } = object;
    if (!kind.startsWith('ClusterRole') || metadata.name.endsWith('-view') || metadata.name.endsWith('-edit'))
      continue;
    const plural = kind === 'ClusterRole' ? 'clusterroles' : 'clusterrolebindings';
    const named = JSON.parse(JSON.stringify(object).replaceAll('km-backup-operator', own.name));
    await own.client.request({
      method: 'POST',
      path: `/apis/rbac.authorization.k8s.io/v1/${plural}`,
      body: {
        ...named,
        ...(named.subjects && {
          subjects: [
            {
              kind: 'ServiceAccount',
              name: named.subjects[0].name.replace(own.name, 'operator'),
              namespace: own.name,
            },
          ],
        }),
      },
    });
  }
}

beforeAll(async () => {
  own = await ownNamespace();
  folder = await mkdtemp(join(tmpdir(), 'km-secure-'));
  await grant(
    await renderChart([
      'metrics.secure.enabled=true',
      'metrics.secure.readers[0].name=prometheus',
      'metrics.secure.readers[0].namespace=monitoring',
    ]),
  );
  const admin = parse(await readFile(inject('kubeconfig'), 'utf8'));
  kubeconfig = join(folder, 'kubeconfig');
  const user = { name: 'operator', user: { token: await serviceAccount('operator') } };
  const context = { name: 'it', context: { cluster: admin.clusters[0].name, user: 'operator' } };
  await writeFile(
    kubeconfig,
    stringify({ ...admin, users: [user], contexts: [context], 'current-context': 'it' }),
  );
});

afterAll(async () => {
  for (const plural of ['clusterroles', 'clusterrolebindings'])
    for (const name of ['', '-metrics-access', '-metrics-reader'])
      await own.client
        .request({
          method: 'DELETE',
          path: `/apis/rbac.authorization.k8s.io/v1/${plural}/${own.name}${name}`,
        })
        .catch(() => {});
  await own.remove();
  await rm(folder, { recursive: true });
});

interface Running {
  readonly plain: string;
  readonly secure: string;
  readonly port: number;
  readonly lines: readonly Record<string, unknown>[];
}

/** The operator as the image starts it. */
async function start(config: string, ...flags: string[]): Promise<Running> {
  const child = spawn(
    join(checkout, 'bin/km-backup-operator'),
    [
      ...[
        `--kubeconfig=${config}`,
        `--namespaces=${own.name}`,
        '--image=km-backup:test',
        '--no-leader-elect',
      ],
      ...['--http-host=127.0.0.1', '--http-port=0', '--secure-port=0', ...flags],
    ],
    { stdio: ['ignore', 'inherit', 'pipe'] },
  );
  children.push(child);
  const lines: Record<string, unknown>[] = [];
  createInterface(child.stderr!).on('line', (line) => lines.push(JSON.parse(line)));
  const serving = await eventually(
    async () => lines.find(({ msg }) => msg === 'serving'),
    (line) => line !== undefined,
    () => 'the operator to serve',
  );
  const { url: plain, secureUrl: secure } = serving as { url: string; secureUrl: string };
  return { plain, secure, port: Number(new URL(secure).port), lines };
}

afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});

async function get(url: string, token?: string): Promise<{ status: number; body: string }> {
  const sent = request(url, {
    rejectUnauthorized: false,
    agent: false,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: response.statusCode!, body: Buffer.concat(await response.toArray()).toString() };
}

describe('metrics over TLS', () => {
  let reader: string;
  let stranger: string;
  beforeAll(async () => {
    reader = await serviceAccount('prometheus');
    stranger = await serviceAccount('stranger');
  });

  it('answer whoever has the right, and nobody else', async () => {
    const { plain, secure } = await start(kubeconfig);
    expect(await get(`${secure}/metrics`)).toMatchObject({ status: 401 });
    expect(await get(`${secure}/metrics`, 'not-a-token')).toMatchObject({ status: 401 });
    expect(await get(`${secure}/metrics`, `${reader.slice(0, -8)}AAAAAAAA`)).toMatchObject({ status: 401 });
    const refused = await get(`${secure}/metrics`, stranger);
    expect(refused).toMatchObject({
      status: 403,
      body: expect.stringContaining('non-resource URL /metrics'),
    });
    const answered = await get(`${secure}/metrics`, reader);
    expect(answered).toMatchObject({ status: 200, body: expect.stringContaining('km_operator_leader') });
    // The built-in roles let anybody get the non-resource URL /healthz.
    expect(await get(`${secure}/healthz`, stranger)).toMatchObject({ status: 403 });
    expect(await get(`${secure}/healthz`, reader)).toMatchObject({ status: 200 });

    for (const path of ['/metrics', '/healthz']) expect((await fetch(`${plain}${path}`)).status).toBe(404);
    expect((await fetch(`${plain}/livez`)).status).toBe(200);
    expect(await get(`${secure}/livez`, reader)).toMatchObject({ status: 404 });
  });

  it('are served with a certificate that is read again when it changes', async () => {
    const tls = join(folder, 'tls');
    await mkdir(tls);
    const write = async (name: string) => {
      const { cert, key } = selfSigned(name, Date.now());
      await writeFile(join(tls, 'tls.key'), key);
      await writeFile(join(tls, 'tls.crt'), cert);
    };
    await write('before');
    const { port, secure } = await start(kubeconfig, `--tls-dir=${tls}`);
    const served = async () => {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      const { subject } = socket.getPeerCertificate();
      socket.destroy();
      return String(subject.CN);
    };
    expect(await served()).toBe('before');
    await write('after');
    await eventually(
      served,
      (name) => name === 'after',
      (name) => `the new certificate; it serves ${name}`,
    );
    expect(await get(`${secure}/metrics`, reader)).toMatchObject({ status: 200 });
  });

  it('do not start without the certificate that they were told to use', async () => {
    const child = spawn(
      join(checkout, 'bin/km-backup-operator'),
      [
        ...[`--kubeconfig=${kubeconfig}`, `--namespaces=${own.name}`, '--image=x', '--http-port=0'],
        ...['--secure-port=0', `--tls-dir=${join(folder, 'nothing')}`],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const [code] = await once(child, 'close');
    expect([code, said]).toEqual([
      1,
      expect.stringMatching(/cannot read .*tls\.crt \(ENOENT\): mount a Secret/),
    ]);
    expect(said).not.toContain('    at ');
  });

  it('are refused with 503 while the API server does not answer', async () => {
    const away = parse(await readFile(kubeconfig, 'utf8'));
    away.clusters[0].cluster.server = 'https://127.0.0.1:1';
    const config = join(folder, 'away');
    await writeFile(config, stringify(away));
    const { secure, lines } = await start(config);
    expect(await get(`${secure}/metrics`, reader)).toMatchObject({ status: 503 });
    expect(lines.some(({ msg }) => msg === 'cannot check who asks for metrics')).toBe(true);
  });

  it('are refused with 503 while the operator may not ask', async () => {
    const plain = parse(await readFile(kubeconfig, 'utf8'));
    plain.users[0].user.token = stranger;
    const config = join(folder, 'unbound');
    await writeFile(config, stringify(plain));
    const { secure, lines } = await start(config);
    expect(await get(`${secure}/metrics`, reader)).toMatchObject({ status: 503 });
    expect(JSON.stringify(lines)).toContain('tokenreviews');
  });
});
