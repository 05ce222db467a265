import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { FakeClock } from '../../src/clock/testing/fake-clock.ts';
import { type ApiRequest, KubeClient } from '../../src/kube/client.ts';
import { LeaderElector, LeadershipLostError } from '../../src/kube/lease.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { type ResourceClient, resource } from '../../src/kube/resources.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { type OwnNamespace, ownNamespace, quiet, until } from '../support/kube.ts';

interface Lease extends KubeObject {
  spec: { holderIdentity: string; renewTime: string; acquireTime: string; leaseTransitions: number };
}

class CountingClient extends KubeClient {
  underway = 0;

  override async request<T>(request: ApiRequest): Promise<T> {
    this.underway += 1;
    try {
      return await super.request<T>(request);
    } finally {
      this.underway -= 1;
    }
  }
}

const HOUR_MS = 3_600_000;
const LEASES = { path: /leases/ };

let own: OwnNamespace;
let leases: ResourceClient<Lease>;
let proxy: FaultProxy;
let client: CountingClient;
let name: string;
let count = 0;
let stop: AbortController;

beforeAll(async () => {
  own = await ownNamespace();
  const lease = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', kind: 'Lease' };
  leases = resource<Lease>(own.client, { ...lease, namespaced: true });
});
afterAll(() => own.remove());
beforeEach(async () => {
  proxy = await proxyOf(inject('kubeconfig'));
  client = new CountingClient(proxy.apiServer, { attempts: 1 });
  count += 1;
  name = `lease-${count}`;
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await client.close();
  await proxy.close();
});

interface Candidate {
  readonly clock: FakeClock;
  readonly elector: LeaderElector;
}

/** Each candidate is a process of its own: it has its own clock. */
function candidate(identity: string, through = client): Candidate {
  const clock = new FakeClock();
  const elector = new LeaderElector({
    client: through,
    namespace: own.name,
    name,
    identity,
    leaseDurationSeconds: 15,
    renewDeadlineSeconds: 10,
    retryPeriodSeconds: 2,
    logger: quiet,
    clock,
    random: () => 0,
  });
  return { clock, elector };
}

/** Far more than a request takes; only those that hang on purpose take longer. Milliseconds. */
const PATIENCE_MS = 250;

/** Lets time pass for some candidates, in steps that requests can follow. */
async function pass(seconds: number, ...candidates: Candidate[]): Promise<void> {
  for (let step = 0; step < seconds * 2; step += 1) {
    for (const { clock } of candidates) clock.advance(500);
    await pause(1);
    const end = performance.now() + PATIENCE_MS;
    while (client.underway > 0 && performance.now() < end) await pause(1);
  }
}

const current = () => leases.get(own.name, name);
const outcome = (work: Promise<void>): { ended: unknown } => {
  const told: { ended: unknown } = { ended: undefined };
  work.then(
    () => {
      told.ended = 'resolved';
    },
    (error) => {
      told.ended = error;
    },
  );
  return told;
};

describe('the Lease', () => {
  it('is made by the first, renewed by it, and nobody else gets it meanwhile', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    expect(() => a.elector.assertLeading()).toThrow(LeadershipLostError);
    await a.elector.acquire(stop.signal);
    a.elector.assertLeading();
    const first = await current();
    expect(first.spec).toMatchObject({ holderIdentity: 'a', leaseTransitions: 0 });
    const holding = outcome(a.elector.hold(stop.signal));
    const waiting = outcome(b.elector.acquire(stop.signal));
    await pass(40, a, b);
    expect(holding.ended).toBeUndefined();
    expect(waiting.ended).toBeUndefined();
    expect(b.elector.leading).toBe(false);
    const renewed = await current();
    expect(renewed.spec).toMatchObject({ holderIdentity: 'a', acquireTime: first.spec.acquireTime });
    expect(Date.parse(renewed.spec.renewTime)).toBeGreaterThan(Date.parse(first.spec.renewTime));
  });

  it('is free at once when its holder ends in good order', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    await a.elector.acquire(stop.signal);
    const ending = new AbortController();
    const held = a.elector.hold(ending.signal);
    ending.abort();
    await held;
    expect(a.elector.leading).toBe(false);
    await b.elector.acquire(stop.signal);
    expect((await current()).spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  });

  it('of a holder that died is taken when its duration is over, not before, and not only at the next try', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    await a.elector.acquire(stop.signal);
    const waiting = outcome(b.elector.acquire(stop.signal));
    await until('b has seen it and sleeps', () => b.clock.pending === 1);
    await pass(14, b);
    expect(waiting.ended).toBeUndefined();
    // Tries come every 2 s: the last at 14 s, the next at 16 s.
    await pass(1.5, b);
    await until('b leads', () => waiting.ended !== undefined);
    expect((await current()).spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 });
  });

  it.each([
    ['ahead', HOUR_MS],
    ['behind', -HOUR_MS],
  ])('does not care that the holder’s clock is an hour %s', async (_, skewMs) => {
    const [a, b] = [candidate('a'), candidate('b')];
    a.clock.jump(skewMs);
    await a.elector.acquire(stop.signal);
    outcome(a.elector.hold(stop.signal));
    const waiting = outcome(b.elector.acquire(stop.signal));
    await pass(20, a, b);
    expect(waiting.ended).toBeUndefined();
    await pass(20, b);
    await until('b leads', () => waiting.ended !== undefined);
  });

  it('goes to one of many that ask at once', async () => {
    const many = ['a', 'b', 'c', 'd', 'e'].map((identity) => candidate(identity));
    const waiting = many.map(({ elector }) => outcome(elector.acquire(stop.signal)));
    await until('one leads', () => waiting.some(({ ended }) => ended !== undefined));
    await pass(6, ...many);
    expect(many.filter(({ elector }) => elector.leading)).toHaveLength(1);
  });

  it('deleted by hand is made again by its holder', async () => {
    const a = candidate('a');
    await a.elector.acquire(stop.signal);
    const holding = outcome(a.elector.hold(stop.signal));
    await leases.delete(own.name, name);
    await pass(6, a);
    expect(holding.ended).toBeUndefined();
    expect((await current()).spec.holderIdentity).toBe('a');
  });
});

describe('a leader', () => {
  it('stays one through failures shorter than the renew deadline', async () => {
    const a = candidate('a');
    await a.elector.acquire(stop.signal);
    const holding = outcome(a.elector.hold(stop.signal));
    proxy.add({ match: LEASES, fault: { kind: 'answer', status: 500 }, times: 2 });
    proxy.add({ match: LEASES, fault: { kind: 'drop' }, times: 1 });
    await pass(30, a);
    expect(holding.ended).toBeUndefined();
    a.elector.assertLeading();
  });

  it.each([
    ['refuses', { kind: 'answer', status: 503 }],
    ['hangs', { kind: 'hang' }],
  ] as const)(
    'ends at the renew deadline when the API server %s, before anyone else may lead',
    async (_, fault) => {
      const a = candidate('a');
      await a.elector.acquire(stop.signal);
      const holding = outcome(a.elector.hold(stop.signal));
      proxy.add({ match: LEASES, fault });
      await pass(9, a);
      expect(holding.ended).toBeUndefined();
      await pass(2, a);
      expect(a.elector.leading).toBe(false);
      await until('it gave up', () => holding.ended !== undefined);
      expect(holding.ended).toBeInstanceOf(LeadershipLostError);
    },
  );

  it('that was frozen knows on waking, before any request, that it no longer leads', async () => {
    const a = candidate('a');
    await a.elector.acquire(stop.signal);
    const asked = proxy.seen.length;
    a.clock.advance(10_000);
    expect(() => a.elector.assertLeading()).toThrow('no longer holds Lease');
    expect(proxy.seen.length).toBe(asked);
  });

  it('that was replaced while it was frozen ends, and leaves the Lease to the new one', async () => {
    const [a, b] = [candidate('a'), candidate('b')];
    await a.elector.acquire(stop.signal);
    const holding = outcome(a.elector.hold(stop.signal));
    const waiting = outcome(b.elector.acquire(stop.signal));
    await pass(20, b);
    await until('b leads', () => waiting.ended !== undefined);
    await pass(20, a);
    await until('a ended', () => holding.ended !== undefined);
    expect(holding.ended).toBeInstanceOf(LeadershipLostError);
    expect((await current()).spec.holderIdentity).toBe('b');
  });

  it('finds out at the next renewal that another wrote its name', async () => {
    const a = candidate('a');
    await a.elector.acquire(stop.signal);
    const holding = outcome(a.elector.hold(stop.signal));
    await leases.mergePatch(own.name, name, { spec: { holderIdentity: 'usurper' } });
    await pass(4, a);
    await until('it ended', () => holding.ended !== undefined);
    expect(holding.ended).toBeInstanceOf(LeadershipLostError);
    expect((await current()).spec.holderIdentity).toBe('usurper');
  });

  it('counts a renewal from when it was asked for, not from the late answer', async () => {
    const a = candidate('a');
    await a.elector.acquire(stop.signal);
    outcome(a.elector.hold(stop.signal));
    const slow = proxy.add({
      match: { ...LEASES, method: 'PUT' },
      fault: { kind: 'delay', ms: 400 },
      times: 1,
    });
    // The renewal is asked for at 2 s, and answered when 10 s have passed.
    await pass(2, a);
    await until('it was asked for', () => slow.struck === 1);
    a.clock.advance(7000);
    await until('it was answered', async () => (await current()).spec.renewTime.includes(':02.'));
    await pause(100);
    a.clock.advance(2900);
    expect(a.elector.leading).toBe(true);
    a.clock.advance(200);
    expect(a.elector.leading).toBe(false);
  });
});

it('refuses times that let two lead', () => {
  const wrong = { leaseDurationSeconds: 10, renewDeadlineSeconds: 10, retryPeriodSeconds: 2 };
  const options = { client, namespace: 'n', name: 'n', identity: 'a', logger: quiet };
  expect(() => new LeaderElector({ ...options, ...wrong })).toThrow(RangeError);
});
