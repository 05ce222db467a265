import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { FakeClock } from '../../src/clock/testing/fake-clock.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig, inCluster } from '../../src/kube/config.ts';
import { chosenContext } from '../../src/kube/kubeconfig.ts';
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

  it('gives the token of a file, which may change', async () => {
    const token = join(directory, 'token');
    await writeFile(token, 'first\n');
    const api = await fromKubeconfig(await write({ server }, { tokenFile: 'token' }));
    expect(await api.authenticate()).toEqual({ authorization: 'Bearer first' });
    await writeFile(token, 'second');
    expect(await api.authenticate()).toEqual({ authorization: 'Bearer second' });
  });

  it('gives the token that kubectl keeps for OIDC, and refuses other auth-providers', async () => {
    const oidc = { 'auth-provider': { name: 'oidc', config: { 'id-token': 'kept' } } };
    const api = await fromKubeconfig(await write({ server }, oidc));
    expect(await api.authenticate()).toEqual({ authorization: 'Bearer kept' });
    await expect(
      fromKubeconfig(await write({ server }, { 'auth-provider': { name: 'gcp' } })),
    ).rejects.toThrow('auth-provider gcp');
  });

  it.each([
    ['fails', { command: 'false' }, 'The credential plugin false failed'],
    [
      'is missing',
      { command: 'km-no-such', installHint: 'Install it.' },
      /km-no-such failed: .*ENOENT.* Install it\./,
    ],
    ['answers with nothing', { command: 'echo', args: ['{}'] }, 'gave neither a token nor a certificate'],
    ['answers with text', { command: 'echo', args: ['hello'] }, 'did not answer in JSON'],
  ])('whose plugin %s is refused in words', async (_, exec, message) => {
    await expect(fromKubeconfig(await write({ server }, { exec }))).rejects.toThrow(message);
  });

  it('runs a plugin again once its token has expired or was refused, and with the variables that it asks for', async () => {
    const script = `echo run >> ${join(directory, 'runs')}; printf '{"status":{"token":"%s","expirationTimestamp":"%s"}}' "$NAME" "$UNTIL"`;
    const plugin = (until: string) => ({
      exec: {
        command: 'sh',
        args: ['-c', script],
        env: [
          { name: 'NAME', value: 'me' },
          { name: 'UNTIL', value: until },
        ],
      },
    });
    const runs = async () => (await readFile(join(directory, 'runs'), 'utf8')).length / 4;
    const lasting = await fromKubeconfig(await write({ server }, plugin('2100-01-01T00:00:00Z')));
    expect(await lasting.authenticate()).toEqual({ authorization: 'Bearer me' });
    expect(await runs()).toBe(1);
    lasting.forgetCredentials!();
    await lasting.authenticate();
    expect(await runs()).toBe(2);
    const expired = await fromKubeconfig(await write({ server }, plugin('2020-01-01T00:00:00Z')));
    await expired.authenticate();
    expect(await runs()).toBe(4);
  });

  it('may be several files: the first to name something counts, and paths are relative to their own file', async () => {
    const first = join(directory, 'first');
    await writeFile(
      first,
      JSON.stringify({
        contexts: [{ name: 'y', context: { cluster: 'c', user: 'v', namespace: 'team' } }],
        'current-context': 'y',
      }),
    );
    await mkdir(join(directory, 'more'));
    const second = join(directory, 'more/second');
    await writeFile(join(directory, 'more/token'), 'beside');
    await writeFile(
      second,
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'v', user: { tokenFile: 'token' } }],
        contexts: [{ name: 'y', context: { cluster: 'other', user: 'other' } }],
        'current-context': 'x',
      }),
    );
    const files = [first, join(directory, 'not-there'), second];
    const { server: api, context, namespace } = await chosenContext({ files });
    expect({ context, namespace }).toEqual({ context: 'y', namespace: 'team' });
    expect(api.tls.rejectUnauthorized).toBe(false);
    expect(await api.authenticate()).toEqual({ authorization: 'Bearer beside' });
    await expect(chosenContext({ files, context: 'z' })).rejects.toThrow(
      'there is no context z. There are: y.',
    );
  });

  it.each([
    ['is missing', undefined, 'cannot be read as a kubeconfig'],
    ['is not YAML', '{', 'cannot be read as a kubeconfig'],
    ['is a list', '[]', 'is not a kubeconfig'],
    [
      'names a certificate that is missing',
      '{"current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"server":"https://x","certificate-authority":"gone"}}],"users":[{"name":"u"}]}',
      /gone, which the kubeconfig names, cannot be read/,
    ],
    [
      'names no user',
      '{"current-context":"x","contexts":[{"name":"x","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"https://x"}}]}',
      'context x names no user that exists',
    ],
  ])('that %s is refused in words', async (_, content, message) => {
    const path = join(directory, 'bad');
    if (content !== undefined) await writeFile(path, content);
    await expect(fromKubeconfig(path)).rejects.toThrow(message);
  });

  it('without a current context is refused by name', async () => {
    const path = join(directory, 'empty');
    await writeFile(path, '{"clusters": [], "users": [], "contexts": []}');
    await expect(fromKubeconfig(path)).rejects.toThrow(path);
  });
});
