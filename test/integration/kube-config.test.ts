import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { FakeClock } from '../../src/clock/testing/fake-clock.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig, inCluster } from '../../src/kube/config.ts';
import { type OwnNamespace, ownNamespace } from '../support/kube.ts';

let own: OwnNamespace;
let directory: string;

beforeEach(async () => {
  own = await ownNamespace();
  directory = await mkdtemp(join(tmpdir(), 'km-account-'));
});
afterEach(async () => {
  await own.remove();
  await rm(directory, { recursive: true });
});

async function tokenOf(serviceAccount: string): Promise<string> {
  const path = `/api/v1/namespaces/${own.name}/serviceaccounts`;
  await own.client.request({ method: 'POST', path, body: { metadata: { name: serviceAccount } } });
  const made = await own.client.request<{ status: { token: string } }>({
    method: 'POST',
    path: `${path}/${serviceAccount}/token`,
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} },
  });
  return made.status.token;
}

async function whoAmI(client: KubeClient): Promise<string> {
  const review = await client.request<{ status: { userInfo: { username: string } } }>({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  });
  return review.status.userInfo.username;
}

describe('in a pod', () => {
  /** The pod's files, but for the token, and its client. */
  async function inPod(clock = new FakeClock()): Promise<KubeClient> {
    const { url, tls } = await fromKubeconfig(inject('kubeconfig'));
    const { hostname, port } = new URL(url);
    await writeFile(join(directory, 'ca.crt'), tls.ca!);
    const environment = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
    return new KubeClient(await inCluster(environment, { directory, clock }), { attempts: 1 });
  }

  it('speaks as the service account, and takes up its rotated token', async () => {
    await writeFile(join(directory, 'token'), `${await tokenOf('first')}\n`);
    const clock = new FakeClock();
    const client = await inPod(clock);
    try {
      expect(await whoAmI(client)).toBe(`system:serviceaccount:${own.name}:first`);
      await writeFile(join(directory, 'token'), await tokenOf('second'));
      clock.advance(60_001);
      expect(await whoAmI(client)).toBe(`system:serviceaccount:${own.name}:second`);
    } finally {
      await client.close();
    }
  });

  it('reads the token anew as soon as it is refused', async () => {
    await writeFile(join(directory, 'token'), 'outdated');
    const client = await inPod();
    try {
      await expect(whoAmI(client)).rejects.toMatchObject({ status: 401 });
      const watch = { method: 'GET', path: '/api/v1/namespaces', query: { watch: true } } as const;
      await expect(client.stream(watch)).rejects.toMatchObject({ status: 401 });
      await writeFile(join(directory, 'token'), await tokenOf('rotated'));
      expect(await whoAmI(client)).toBe(`system:serviceaccount:${own.name}:rotated`);
    } finally {
      await client.close();
    }
  });

  it('says which file is missing when there is no token', async () => {
    const client = await inPod();
    try {
      await expect(whoAmI(client)).rejects.toMatchObject({
        reason: 'NoCredentials',
        message: expect.stringContaining(join(directory, 'token')),
      });
    } finally {
      await client.close();
    }
  });

  it('writes an IPv6 address as URLs want it', async () => {
    await writeFile(join(directory, 'ca.crt'), '');
    const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    expect((await inCluster(environment, { directory })).url).toBe('https://[fd00::1]:6443');
  });

  it('says what is missing outside of one', async () => {
    await expect(inCluster({})).rejects.toThrow('KUBERNETES_SERVICE_HOST');
  });
});

describe('a server whose certificate the CA did not sign', () => {
  it('is not spoken to', async () => {
    const { ca: _, ...tls } = (await fromKubeconfig(inject('kubeconfig'))).tls;
    const server = { ...(await fromKubeconfig(inject('kubeconfig'))), tls };
    const client = new KubeClient(server, { attempts: 1 });
    await expect(whoAmI(client)).rejects.toMatchObject({ status: 0, reason: 'Untrusted' });
    await client.close();
  });
});

describe('a kubeconfig', () => {
  const write = async (cluster: object, user: object): Promise<string> => {
    const path = join(directory, 'kubeconfig');
    await writeFile(
      path,
      JSON.stringify({
        clusters: [{ name: 'c', cluster }],
        users: [{ name: 'u', user }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
    return path;
  };
  const server = 'https://example.org:6443/';

  it.each([
    ['a token', { token: 'secret' }, 'Bearer secret'],
    ['a name and password', { username: 'me', password: 'pass' }, `Basic ${btoa('me:pass')}`],
    [
      'a plugin',
      {
        exec: {
          apiVersion: 'client.authentication.k8s.io/v1',
          interactiveMode: 'Never',
          command: 'echo',
          args: [
            '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"fresh"}}',
          ],
        },
      },
      'Bearer fresh',
    ],
  ])('gives credentials by %s', async (_, user, expected) => {
    const api = await fromKubeconfig(await write({ server }, user));
    expect(api.url).toBe('https://example.org:6443');
    const headers = Object.entries(await api.authenticate());
    expect(headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1]).toBe(expected);
  });

  it('with a proxy is refused, not read as if it had none', async () => {
    const path = await write({ server, 'proxy-url': 'http://proxy:3128' }, { token: 'secret' });
    await expect(fromKubeconfig(path)).rejects.toThrow('proxy-url');
  });

  it('without a current context is refused by name', async () => {
    const path = join(directory, 'empty');
    await writeFile(path, '{"clusters": [], "users": [], "contexts": []}');
    await expect(fromKubeconfig(path)).rejects.toThrow(path);
  });
});
