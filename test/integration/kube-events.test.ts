import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { FakeClock } from '../../src/clock/testing/fake-clock.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { type EventDetails, EventRecorder } from '../../src/kube/events.ts';
import type { KubeObject } from '../../src/kube/object.ts';
import { resource } from '../../src/kube/resources.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import { configMaps, type OwnNamespace, ownNamespace, quiet } from '../support/kube.ts';

interface Event extends KubeObject {
  note: string;
  reason: string;
  type: string;
  action: string;
  regarding: { name: string; uid: string };
  reportingController: string;
  series?: { count: number; lastObservedTime: string };
}

const EVENTS = { path: /events/ };

let own: OwnNamespace;
let proxy: FaultProxy;
let client: KubeClient;
let clock: FakeClock;
let recorder: EventRecorder;
let warnings: object[];

beforeEach(async () => {
  own = await ownNamespace();
  proxy = await proxyOf(inject('kubeconfig'));
  client = new KubeClient(proxy.apiServer, { attempts: 1 });
  clock = new FakeClock();
  warnings = [];
  recorder = new EventRecorder({
    client,
    reportingController: 'example.org/controller',
    reportingInstance: 'instance'.repeat(30),
    logger: { ...quiet, warn: (fields) => void warnings.push(fields) },
    clock,
  });
});

afterEach(async () => {
  await recorder.flush();
  await client.close();
  await proxy.close();
  await own.remove();
});

async function event(more: Partial<EventDetails> = {}, name = 'subject'): Promise<EventDetails> {
  const maps = configMaps(own.client);
  const object = await maps.get(own.name, name).catch(() => maps.create(own.name, { metadata: { name } }));
  return {
    regarding: { apiVersion: 'v1', kind: 'ConfigMap', namespace: own.name, name, uid: object.metadata.uid },
    type: 'Normal',
    reason: 'Happened',
    action: 'Testing',
    note: 'it happened',
    ...more,
  };
}

async function written(): Promise<Event[]> {
  await recorder.flush();
  const events = resource<Event>(own.client, {
    group: 'events.k8s.io',
    version: 'v1',
    plural: 'events',
    kind: 'Event',
    namespaced: true,
  });
  return (await events.list(own.name)).items;
}

describe('an event', () => {
  it('is what kubectl shows of the object', async () => {
    const details = await event({ type: 'Warning' });
    recorder.emit(details);
    expect(await written()).toEqual([
      expect.objectContaining({
        note: 'it happened',
        reason: 'Happened',
        action: 'Testing',
        type: 'Warning',
        reportingController: 'example.org/controller',
        regarding: expect.objectContaining({ name: 'subject', uid: details.regarding.uid }),
      }),
    ]);
  });

  it.each([
    ['ASCII', 'x'.repeat(5000)],
    ['characters of several bytes', 'ä€😀'.repeat(500)],
    ['bytes that end within a character', `x${'😀'.repeat(400)}`],
  ])('with a long note of %s is cut to 1,024 bytes at a character', async (_, note) => {
    recorder.emit(await event({ note }));
    const [one] = await written();
    expect(Buffer.byteLength(one!.note)).toBeLessThanOrEqual(1024);
    expect(Buffer.byteLength(one!.note)).toBeGreaterThan(1010);
    expect(note.startsWith(one!.note.slice(0, -1))).toBe(true);
    expect(one!.note.endsWith('…')).toBe(true);
  });

  it('of an object with the longest name is written', async () => {
    recorder.emit(await event({}, `${'a'.repeat(199)}.${'b'.repeat(53)}`));
    expect(await written()).toHaveLength(1);
  });
});

describe('equal events', () => {
  it('become one with a count', async () => {
    for (let time = 0; time < 5; time += 1) {
      recorder.emit(await event());
      await recorder.flush();
      clock.advance(60_000);
    }
    const events = await written();
    expect(events).toHaveLength(1);
    expect(events[0]!.series?.count).toBe(5);
  });

  it('are told anew after a long pause, and when the counted one was deleted', async () => {
    recorder.emit(await event());
    await recorder.flush();
    clock.advance(7 * 60_000);
    recorder.emit(await event());
    const events = await written();
    expect(events).toHaveLength(2);
    for (const { metadata } of events) {
      await own.client.request({
        method: 'DELETE',
        path: `/apis/events.k8s.io/v1/namespaces/${own.name}/events/${metadata.name}`,
      });
    }
    clock.advance(1000);
    recorder.emit(await event());
    expect(await written()).toHaveLength(1);
  });

  it('are only those that say the same of the same object', async () => {
    recorder.emit(await event());
    recorder.emit(await event({ note: 'something else happened' }));
    recorder.emit(await event({}, 'another'));
    expect(await written()).toHaveLength(3);
  });
});

describe('an API server that fails', () => {
  it.each([{ kind: 'answer', status: 500 }, { kind: 'answer', status: 403 }, { kind: 'drop' }] as const)(
    'with $kind $status costs the event, and not the one after it',
    async (fault) => {
      proxy.add({ match: EVENTS, fault, times: 1 });
      recorder.emit(await event({ note: 'lost' }));
      recorder.emit(await event({ note: 'kept' }));
      expect((await written()).map(({ note }) => note)).toEqual(['kept']);
    },
  );

  it('to answer lets events pile up only so far, and the log says so once', async () => {
    const hang = proxy.add({ match: EVENTS, fault: { kind: 'hang' }, times: 1 });
    const details = await event();
    for (let n = 0; n < 1500; n += 1) recorder.emit({ ...details, note: `number ${n}` });
    expect(warnings).toEqual([{ dropped: 1 }]);
    clock.advance(60_001);
    recorder.emit(details);
    expect(warnings).toEqual([{ dropped: 1 }, { dropped: 501 }]);
    await expect.poll(() => hang.struck).toBe(1);
    proxy.add({ match: EVENTS, fault: { kind: 'answer', status: 403 } });
    proxy.cutAll(EVENTS);
  });
});
