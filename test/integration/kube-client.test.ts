import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { KubeClient, type KubeClientOptions } from '../../src/kube/client.ts';
import { isAlreadyExists, isConflict, isNotFound, KubeError } from '../../src/kube/errors.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { type ResourceClient, resource } from '../../src/kube/resources.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { type ConfigMap, configMaps, type OwnNamespace, ownNamespace } from '../support/kube.ts';

let own: OwnNamespace;
let direct: ResourceClient<ConfigMap>;
let proxy: FaultProxy;
let client: KubeClient;
let maps: ResourceClient<ConfigMap>;

beforeAll(async () => {
  own = await ownNamespace();
  direct = configMaps(own.client);
});
afterAll(() => own.remove());
beforeEach(async () => {
  proxy = await proxyOf(inject('kubeconfig'));
  use();
});
afterEach(async () => {
  await client.close();
  await proxy.close();
});

function use(options: KubeClientOptions = {}): void {
  client = new KubeClient(proxy.apiServer, options);
  maps = configMaps(client);
}

const NAME_ONLY = (name: string) => ({ metadata: { name } });
const failure = (work: Promise<unknown>): Promise<KubeError> =>
  work.then(
    () => expect.fail('it succeeded'),
    (error) => error as KubeError,
  );
const sent = (method: string) => proxy.seen.filter((request) => request.method === method).length;
const ALL = { path: /configmaps/ };

describe('connections', () => {
  it('are kept: 20 calls share them', async () => {
    for (let call = 0; call < 20; call += 1) await maps.list(own.name);
    // The second is opened when a call comes before the pool has noticed that the first is free.
    expect(proxy.connections).toBeLessThanOrEqual(2);
  });

  it('are not used up by watches', async () => {
    const stop = new AbortController();
    const { resourceVersion } = await maps.list(own.name);
    const options = { resourceVersion, timeoutSeconds: 60, signal: stop.signal };
    await Promise.all(Array.from({ length: 80 }, () => maps.watch(own.name, options)));
    expect((await maps.list(own.name)).items.length).toBeGreaterThanOrEqual(0);
    stop.abort();
  });
});

describe('a request that may be repeated', () => {
  const faults = [
    { kind: 'answer', status: 429 },
    { kind: 'answer', status: 500 },
    { kind: 'answer', status: 503 },
    { kind: 'drop' },
    { kind: 'cut', afterBytes: 100 },
    { kind: 'loseAnswer' },
  ] as const;
  it.each(faults)('is, after $kind $status', async (fault) => {
    proxy.add({ match: ALL, fault, times: 2 });
    await maps.list(own.name);
    expect(sent('GET')).toBe(3);
  });

  it('waits as long as Retry-After says', async () => {
    proxy.add({ match: ALL, fault: { kind: 'answer', status: 429, retryAfterSeconds: 1 }, times: 1 });
    const start = performance.now();
    await maps.list(own.name);
    expect(performance.now() - start).toBeGreaterThanOrEqual(1000);
  });

  it('fails at once with what the server asked for when that is very long', async () => {
    proxy.add({ match: ALL, fault: { kind: 'answer', status: 429, retryAfterSeconds: 3600 } });
    const error = await failure(maps.list(own.name));
    expect(error).toMatchObject({ status: 429, reason: 'TooManyRequests', retryAfterMs: 3_600_000 });
    expect(sent('GET')).toBe(1);
  });

  it('is given up after its tries, with the server’s words', async () => {
    use({ attempts: 2 });
    proxy.add({ match: ALL, fault: { kind: 'answer', status: 500 } });
    const error = await failure(maps.list(own.name));
    expect(error).toBeInstanceOf(KubeError);
    expect(error).toMatchObject({ status: 500, reason: 'InternalError' });
    expect(error.message).toContain('injected 500');
    expect(sent('GET')).toBe(2);
  });

  it('survives an API server that is away for a moment', async () => {
    await maps.list(own.name);
    await proxy.down();
    const listed = maps.list(own.name);
    setTimeout(() => void proxy.up(), 500);
    expect((await listed).resourceVersion).not.toBe('');
  });

  it('is given up and repeated when nothing comes back', async () => {
    use({ timeoutMs: 300 });
    const hang = proxy.add({ match: ALL, fault: { kind: 'hang' }, times: 1 });
    await maps.list(own.name);
    expect(hang.struck).toBe(1);
    proxy.add({ match: ALL, fault: { kind: 'freeze', afterBytes: 50 }, times: 1 });
    await maps.list(own.name);
  });

  it.each([400, 403, 404, 409, 410, 422])('is not after %i', async (status) => {
    proxy.add({ match: ALL, fault: { kind: 'answer', status } });
    expect((await failure(maps.list(own.name))).status).toBe(status);
    expect(sent('GET')).toBe(1);
  });

  it('ends with its signal, also between tries', async () => {
    proxy.add({ match: ALL, fault: { kind: 'answer', status: 429, retryAfterSeconds: 50 } });
    const stop = new AbortController();
    const listed = failure(maps.list(own.name, { signal: stop.signal }));
    setTimeout(() => stop.abort(), 100);
    const start = performance.now();
    await listed;
    expect(performance.now() - start).toBeLessThan(5000);
  });
});

describe('what is told when no answer comes', () => {
  const where = () => expect.stringContaining(proxy.url);

  it.each([
    [
      'a silent API server',
      { kind: 'hang' },
      'Timeout',
      /^GET \S+configmaps: .*did not answer within 0\.3 s/,
    ],
    ['an answer that stops', { kind: 'freeze', afterBytes: 50 }, 'Timeout', /did not answer within 0\.3 s/],
    ['a connection that breaks', { kind: 'drop' }, 'TransportError', /broke before the whole answer came/],
  ] as const)('of %s', async (_, fault, reason, text) => {
    use({ timeoutMs: 300, attempts: 1 });
    proxy.add({ match: ALL, fault });
    expect(await failure(maps.list(own.name))).toMatchObject({
      status: 0,
      reason,
      message: expect.stringMatching(text),
    });
  });

  it('of a request given up', async () => {
    proxy.add({ match: ALL, fault: { kind: 'hang' } });
    const stop = new AbortController();
    const listed = failure(maps.list(own.name, { signal: stop.signal }));
    setTimeout(() => stop.abort(), 50);
    expect(await listed).toMatchObject({ status: 0, reason: 'Aborted', message: where() });
  });

  it('of an API server that is not there', async () => {
    use({ attempts: 1 });
    await proxy.down();
    expect(await failure(maps.list(own.name))).toMatchObject({
      reason: 'ConnectionRefused',
      message: where(),
    });
  });
});

describe('a create', () => {
  it('whose answer is lost is not repeated: the caller learns that nobody knows, and then AlreadyExists', async () => {
    proxy.add({ match: { method: 'POST' }, fault: { kind: 'loseAnswer' }, times: 1 });
    expect(await failure(maps.create(own.name, NAME_ONLY('lost')))).toMatchObject({ status: 0 });
    expect(sent('POST')).toBe(1);
    expect((await direct.get(own.name, 'lost')).metadata.uid).toBeDefined();
    expect(await failure(maps.create(own.name, NAME_ONLY('lost')))).toSatisfy(isAlreadyExists);
  });

  it('is not repeated after 500, which says nothing of what was done', async () => {
    proxy.add({ match: { method: 'POST' }, fault: { kind: 'answer', status: 500 }, times: 1 });
    expect(await failure(maps.create(own.name, NAME_ONLY('once')))).toMatchObject({ status: 500 });
    expect(sent('POST')).toBe(1);
  });

  it('is repeated after 429, and when the connection was refused', async () => {
    proxy.add({ match: { method: 'POST' }, fault: { kind: 'answer', status: 429 }, times: 1 });
    await maps.create(own.name, NAME_ONLY('after-429'));
    expect(sent('POST')).toBe(2);
    await proxy.down();
    const created = maps.create(own.name, NAME_ONLY('after-refusal'));
    setTimeout(() => void proxy.up(), 500);
    expect((await created).metadata.name).toBe('after-refusal');
  });
});

describe('the rate limit', () => {
  it('spaces requests out, and the wait for a turn does not count as time without an answer', async () => {
    use({ rate: { qps: 2, burst: 1 }, timeoutMs: 2_000, attempts: 1 });
    const start = performance.now();
    await Promise.all(Array.from({ length: 6 }, () => maps.list(own.name)));
    expect(performance.now() - start).toBeGreaterThanOrEqual(2_450);
    expect(sent('GET')).toBe(6);
  });
});

it('tells its observer of each try', async () => {
  const told: [string, number][] = [];
  use({ observe: ({ method, status }) => told.push([method, status]) });
  proxy.add({ match: ALL, fault: { kind: 'answer', status: 503 }, times: 1 });
  proxy.add({ match: ALL, fault: { kind: 'drop' }, times: 1 });
  await maps.list(own.name);
  expect(told).toEqual([
    ['GET', 503],
    ['GET', 0],
    ['GET', 200],
  ]);
});

describe('operations', () => {
  it('name what is missing, taken, outdated and invalid', async () => {
    expect(await failure(maps.get(own.name, 'nowhere'))).toSatisfy(isNotFound);
    const made = await maps.create(own.name, NAME_ONLY('versioned'));
    await maps.mergePatch(own.name, 'versioned', { data: { a: '1' } });
    expect(await failure(maps.replace(own.name, 'versioned', { ...made, data: { b: '2' } }))).toSatisfy(
      isConflict,
    );
    expect(await failure(maps.create(own.name, NAME_ONLY('Not A Name')))).toMatchObject({
      status: 422,
      reason: 'Invalid',
    });
  });

  it('delete only the object with the UID and in the version given', async () => {
    const made = await maps.create(own.name, NAME_ONLY('twice'));
    await maps.delete(own.name, 'twice', { preconditions: { uid: made.metadata.uid } });
    const again = await maps.create(own.name, NAME_ONLY('twice'));
    expect(
      await failure(maps.delete(own.name, 'twice', { preconditions: { uid: made.metadata.uid } })),
    ).toSatisfy(isConflict);
    const { resourceVersion } = again.metadata;
    await maps.mergePatch(own.name, 'twice', { data: { a: '1' } });
    expect(await failure(maps.delete(own.name, 'twice', { preconditions: { resourceVersion } }))).toSatisfy(
      isConflict,
    );
    expect((await direct.get(own.name, 'twice')).metadata.uid).toBe(again.metadata.uid);
  });

  it('read a list in pages of one resource version', async () => {
    const prefix = 'paged';
    const labels = { set: prefix };
    for (const n of [1, 2, 3, 4, 5]) {
      await maps.create(own.name, { metadata: { name: `${prefix}-${n}`, labels } });
    }
    const options = { labelSelector: `set=${prefix}`, pageSize: 2 };
    // What is made meanwhile belongs to no page.
    proxy.add({ match: { path: /continue=/ }, fault: { kind: 'delay', ms: 500 }, times: 1 });
    const names: string[] = [];
    let made: Promise<unknown> | undefined;
    await maps.visit(own.name, options, ({ metadata }) => {
      names.push(metadata.name);
      made ??= direct.create(own.name, { metadata: { name: `${prefix}-0`, labels } });
    });
    await made;
    expect(names).toEqual([1, 2, 3, 4, 5].map((n) => `${prefix}-${n}`));
    expect(proxy.seen.filter(({ path }) => path.includes('limit=2'))).toHaveLength(3);
    expect((await maps.list(own.name, options)).items).toHaveLength(6);
  });

  it('keep fields that no client library knows', async () => {
    const crd = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition' };
    const group = `${own.name}.example.org`;
    const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
    await client.request({
      method: 'POST',
      path: crds,
      body: {
        ...crd,
        metadata: { name: `things.${group}` },
        spec: {
          group,
          scope: 'Namespaced',
          names: { plural: 'things', kind: 'Thing' },
          versions: [{ name: 'v1', served: true, storage: true, schema, subresources: { status: {} } }],
        },
      },
    });
    try {
      const things = resource<KubeObject & { spec?: unknown; status?: unknown }>(client, {
        group,
        version: 'v1',
        plural: 'things',
        kind: 'Thing',
        namespaced: true,
      });
      const type = { apiVersion: `${group}/v1`, kind: 'Thing' };
      const body = { ...type, metadata: { name: 'one' }, spec: { nobodyKnows: { this: [1] } } };
      let made = await things.create(own.name, body).catch(() => undefined);
      // The API server serves a new kind a moment after it took the definition.
      for (const end = performance.now() + 20_000; !made && performance.now() < end; ) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        made = await things.create(own.name, body).catch(() => undefined);
      }
      expect(made?.spec).toEqual(body.spec);
      const { name, resourceVersion } = made!.metadata;
      const status = {
        ...type,
        metadata: { name, resourceVersion },
        status: { phase: 'Odd' },
        spec: { other: true },
      };
      const written = await things.replaceStatus(own.name, 'one', status, 'test');
      expect(written.status).toEqual({ phase: 'Odd' });
      expect(written.spec).toEqual(body.spec);
    } finally {
      await client.request({ method: 'DELETE', path: `${crds}/things.${group}` });
    }
  });
});
