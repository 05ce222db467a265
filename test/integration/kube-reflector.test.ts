import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { FakeClock } from '../../src/clock/testing/fake-clock.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { Reflector, type ReflectorOptions } from '../../src/kube/reflector.ts';
import type { ResourceClient } from '../../src/kube/resources.ts';
import { type Change, Store, type StoreOptions } from '../../src/kube/store.ts';
import { type FaultProxy, proxyOf } from '../faultproxy/index.ts';
import {
  type ConfigMap,
  configMaps,
  type OwnNamespace,
  ownNamespace,
  quiet,
  until,
} from '../support/kube.ts';

const WATCH = { path: /configmaps/, watch: true };
const LIST = { path: /configmaps/, watch: false };
/** So that recovery takes tests no seconds; the shape of the delays is the same. */
const FAST = { baseMs: 20, capMs: 200 };

let own: OwnNamespace;
let direct: ResourceClient<ConfigMap>;
let proxy: FaultProxy;
let client: KubeClient;
let store: Store<ConfigMap>;
let changes: string[];
let stop: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  own = await ownNamespace();
  direct = configMaps(own.client);
  proxy = await proxyOf(inject('kubeconfig'));
  client = new KubeClient(proxy.apiServer, { attempts: 1 });
  changes = [];
  store = storeOf();
  stop = new AbortController();
  running = Promise.resolve();
});

afterEach(async () => {
  stop.abort();
  await running;
  await client.close();
  await proxy.close();
  await own.remove();
});

const storeOf = (options: StoreOptions<ConfigMap> = {}) =>
  new Store<ConfigMap>({
    onChange: ({ type, object }: Change<ConfigMap>) => changes.push(`${type} ${object.metadata.name}`),
    ...options,
  });

function start(options: Partial<ReflectorOptions<ConfigMap>> = {}): Reflector<ConfigMap> {
  const reflector = new Reflector<ConfigMap>({
    resource: configMaps(client),
    store,
    namespace: own.name,
    // Every namespace gets one by itself, at a time of its own.
    fieldSelector: 'metadata.name!=kube-root-ca.crt',
    logger: quiet,
    backoff: FAST,
    ...options,
  });
  running = reflector.run(stop.signal);
  return reflector;
}

const make = (name: string) => direct.create(own.name, { metadata: { name } });
const has = (name: string) => store.get(`${own.name}/${name}`) !== undefined;
const watches = () => proxy.seen.filter(({ watch }) => watch).length;
const lists = () => proxy.seen.filter(({ watch }) => !watch).length;
const watching = (count = 1) => until(`${count} watches were opened`, () => watches() >= count);

describe('following', () => {
  it('lists, then watches: added, updated, deleted', async () => {
    await make('before');
    await start().synced;
    expect(changes).toEqual(['added before']);
    await make('after');
    await direct.mergePatch(own.name, 'after', { data: { a: '1' } });
    await direct.delete(own.name, 'before');
    await until('the deletion came', () => !has('before'));
    expect(changes).toEqual(['added before', 'added after', 'updated after', 'deleted before']);
    expect(store.get(`${own.name}/after`)?.data).toEqual({ a: '1' });
  });

  it('stores times as strings and no managedFields, whether listed or watched', async () => {
    await make('listed');
    await start().synced;
    await make('watched');
    await until('it came', () => has('watched'));
    for (const name of ['listed', 'watched']) {
      const { metadata } = store.get(`${own.name}/${name}`)!;
      expect(metadata.creationTimestamp).toMatch(/^\d{4}-.*Z$/);
      expect(metadata).not.toHaveProperty('managedFields');
    }
  });

  it('stores only what trimming leaves, and leaves out what it cannot read', async () => {
    await make('good');
    await make('odd');
    const trim = (object: ConfigMap): ConfigMap => {
      if (object.metadata.name === 'odd') throw new Error('odd');
      return { metadata: object.metadata, data: { trimmed: 'yes' } };
    };
    store = storeOf({ trim });
    await start().synced;
    await make('later');
    await until('the later one came', () => has('later'));
    expect(store.get(`${own.name}/good`)?.data).toEqual({ trimmed: 'yes' });
    expect(has('odd')).toBe(false);
  });

  it('goes on when a handler throws', async () => {
    const onChange = () => {
      throw new Error('thrown by a handler');
    };
    store = storeOf({ onChange });
    await start().synced;
    await make('one');
    await make('two');
    await until('both came', () => has('one') && has('two'));
    expect(watches()).toBe(1);
  });

  it('asks nothing while nothing changes', async () => {
    await start().synced;
    await watching();
    const before = proxy.seen.length;
    await pause(2000);
    expect(proxy.seen.length).toBe(before);
  });

  it('reads a long list whole, and in pages once it broke off twice; starts over when it expires between them', async () => {
    const names = Array.from({ length: 501 }, (_, index) => `m${index}`);
    for (let at = 0; at < names.length; at += 50) await Promise.all(names.slice(at, at + 50).map(make));
    const torn = proxy.add({ match: LIST, fault: { kind: 'cut', afterBytes: 20_000 }, times: 2 });
    const expired = proxy.add({
      match: { path: /continue=/ },
      fault: { kind: 'answer', status: 410 },
      times: 1,
    });
    await start().synced;
    expect(torn.struck).toBe(2);
    expect(expired.struck).toBe(1);
    const asked = proxy.seen.filter(({ watch }) => !watch).map(({ path }) => path.includes('limit='));
    expect(asked).toEqual([false, false, true, true, true, true]);
    expect(store.size).toBe(501);
    expect(new Set(changes).size).toBe(changes.length);
  });
});

describe('a watch that breaks', () => {
  it('is resumed where it was: nothing missed, nothing listed again', async () => {
    await start().synced;
    for (let round = 1; round <= 5; round += 1) {
      await watching(round);
      await until('a watch is under way', () => proxy.cutAll(WATCH) > 0);
      await make(`round-${round}`);
      await until('it came', () => has(`round-${round}`));
    }
    expect(changes).toEqual([1, 2, 3, 4, 5].map((round) => `added round-${round}`));
    expect(lists()).toBe(1);
    const { path } = proxy.seen.filter(({ watch }) => watch).at(-1)!;
    const { resourceVersion } = store.get(`${own.name}/round-4`)!.metadata;
    expect(path).toContain(`resourceVersion=${resourceVersion}&`);
  });

  it('in the middle of a line is resumed before that line', async () => {
    proxy.add({ match: WATCH, fault: { kind: 'cut', afterBytes: 150 }, times: 1 });
    await start().synced;
    await watching();
    await make('torn');
    await until('it came', () => has('torn'));
    expect(watches()).toBe(2);
    expect(changes).toEqual(['added torn']);
  });

  it('by falling silent is found out and resumed', async () => {
    const restarts: string[] = [];
    const metrics = {
      onList() {},
      onWatchRestart: (_: string, reason: string) => void restarts.push(reason),
    };
    await start({ silenceMs: 500, metrics }).synced;
    await watching();
    await until('it is frozen', () => proxy.freezeAll(WATCH) > 0);
    await make('unheard');
    await until('it came', () => has('unheard'));
    expect(restarts).toContain('silent');
    expect(lists()).toBe(1);
  });

  it('by falling silent is found out soon when something is known to have come', async () => {
    const reflector = start({ patienceMs: 300 });
    await reflector.synced;
    await watching();
    await until('it is frozen', () => proxy.freezeAll(WATCH) > 0);
    const made = await make('unheard');
    await pause(400);
    expect(watches()).toBe(1);
    store.wrote(made);
    // What is written since does not lengthen the wait.
    const writing = setInterval(() => {
      void direct
        .mergePatch(own.name, 'unheard', { data: { at: `${performance.now()}` } })
        .then((answer) => store.wrote(answer));
    }, 100);
    try {
      await until('the watch was opened again', () => watches() === 2);
    } finally {
      clearInterval(writing);
    }
    expect(lists()).toBe(1);
  });

  it('is trusted when it has reported a write already, and while it reports other changes', async () => {
    const clock = new FakeClock();
    const reflector = start({ clock, patienceMs: 300 });
    await reflector.synced;
    const made = await make('told');
    await until('it came', () => has('told'));
    store.wrote(made);
    clock.advance(500);
    const { metadata } = made;
    store.wrote({
      metadata: {
        ...metadata,
        name: 'never-told',
        uid: 'never-told',
        resourceVersion: `${metadata.resourceVersion}000`,
      },
    });
    const tell = async (n: string) => {
      await direct.mergePatch(own.name, 'told', { data: { n } });
      await until(`${n} came`, () => store.get(`${own.name}/told`)?.data?.['n'] === n);
    };
    for (let n = 0; n < 6; n += 1) {
      clock.advance(200);
      await tell(`${n}`);
    }
    expect(watches()).toBe(1);
    // That object never comes: the watch is reopened once, not again and again.
    await until('another watch was opened', () => {
      clock.advance(50);
      return watches() > 1;
    });
    await tell('again');
    clock.advance(10_000);
    await tell('still');
    expect(watches()).toBe(2);
  });

  it('whose answer never begins is noticed and reopened', async () => {
    proxy.add({ match: WATCH, fault: { kind: 'hang' }, times: 1 });
    await start({ silenceMs: 500 }).synced;
    await make('unheard');
    await until('it came', () => has('unheard'));
  });

  // Real time, of which tests beside it may take too much.
  it('that was quiet and ended properly is reopened at once, every time', { retry: 2 }, async () => {
    proxy.add({ match: WATCH, fault: { kind: 'endAfter', ms: 1100 }, times: 4 });
    await start({ backoff: { baseMs: 800, capMs: 30_000 } }).synced;
    const opened: number[] = [];
    for (let count = 1; count <= 4; count += 1) {
      await watching(count);
      opened.push(performance.now());
    }
    for (let index = 1; index < opened.length; index += 1) {
      expect(opened[index]! - opened[index - 1]!).toBeLessThan(1700);
    }
  });
});

describe('an API server that refuses', () => {
  it.each([
    { kind: 'answer', status: 500 },
    { kind: 'answer', status: 503 },
    { kind: 'answer', status: 429 },
    { kind: 'answer', status: 403 },
    { kind: 'drop' },
  ] as const)('the first lists with $kind $status is asked until it answers', async (fault) => {
    await make('there');
    const refused = proxy.add({ match: LIST, fault, times: 3 });
    await start().synced;
    expect(refused.struck).toBe(3);
    expect(has('there')).toBe(true);
  });

  it('watches is asked ever less often, and resumed without a list', async () => {
    const refused = proxy.add({ match: WATCH, fault: { kind: 'answer', status: 500 } });
    await start({ backoff: { baseMs: 50, capMs: 100_000 } }).synced;
    await pause(1500);
    // 25..50, 50..100, 100..200, 200..400, 400..800, 800..1600 ms
    expect(refused.struck).toBeGreaterThanOrEqual(4);
    expect(refused.struck).toBeLessThanOrEqual(7);
    refused.remove();
    await make('afterwards');
    await until('it came', () => has('afterwards'));
    expect(lists()).toBe(1);
  });

  it('watches with Retry-After is left in peace for so long', async () => {
    const limited = { kind: 'answer', status: 429, retryAfterSeconds: 1 } as const;
    proxy.add({ match: WATCH, fault: limited, times: 1 });
    await start().synced;
    await watching();
    const start1 = performance.now();
    await watching(2);
    expect(performance.now() - start1).toBeGreaterThan(900);
  });

  it('is away for a while loses nothing', async () => {
    await make('kept');
    await start().synced;
    await watching();
    await proxy.down();
    await direct.delete(own.name, 'kept');
    await make('made-meanwhile');
    await proxy.up();
    await until('it caught up', () => has('made-meanwhile') && !has('kept'));
    expect(changes).toEqual(['added kept', 'deleted kept', 'added made-meanwhile']);
  });

  it('ends every watch at once, and properly, is not asked in a tight loop', async () => {
    const empty = proxy.add({ match: WATCH, fault: { kind: 'emptyWatch' } });
    await start({ backoff: { baseMs: 50, capMs: 100_000 } }).synced;
    await pause(1500);
    expect(empty.struck).toBeLessThanOrEqual(7);
    empty.remove();
    await make('afterwards');
    await until('it came', () => has('afterwards'));
  });
});

describe('an expired resource version', () => {
  it.each([
    ['in the answer', { kind: 'answer', status: 410 }],
    ['in the stream', { kind: 'expiredWatch' }],
  ] as const)('%s is answered by a list, which finds what went and came', async (_, fault) => {
    await make('gone');
    await make('stays');
    await start().synced;
    await watching();
    const expired = proxy.add({ match: WATCH, fault, times: 1 });
    await proxy.down();
    await direct.delete(own.name, 'gone');
    await make('new');
    await proxy.up();
    await until('it caught up', () => has('new') && !has('gone'));
    expect(expired.struck).toBe(1);
    expect(lists()).toBe(2);
    expect(changes.slice(2).sort()).toEqual(['added new', 'deleted gone']);
  });

  it('reports an object that was deleted and created again in between as two', async () => {
    const uids: string[] = [];
    const onChange = ({ type, object }: Change<ConfigMap>) => uids.push(`${type} ${object.metadata.uid}`);
    store = storeOf({ onChange });
    const first = await make('same');
    await start().synced;
    await watching();
    proxy.add({ match: WATCH, fault: { kind: 'answer', status: 410 }, times: 1 });
    await proxy.down();
    await direct.delete(own.name, 'same');
    const second = await make('same');
    await proxy.up();
    await until('it caught up', () => uids.length >= 3);
    expect(uids).toEqual([
      `added ${first.metadata.uid}`,
      `deleted ${first.metadata.uid}`,
      `added ${second.metadata.uid}`,
    ]);
  });

  it('for good does not become a tight loop of lists', async () => {
    proxy.add({ match: WATCH, fault: { kind: 'expiredWatch' } });
    await start({ backoff: { baseMs: 50, capMs: 100_000 } }).synced;
    await pause(1500);
    expect(lists()).toBeLessThanOrEqual(8);
  });
});

describe('the end', () => {
  it.each([
    ['a list', LIST],
    ['a watch', WATCH],
  ])('comes with the signal, also while %s hangs, and is the end', async (_, match) => {
    proxy.add({ match, fault: { kind: 'hang' } });
    start();
    await until('it hangs', () => proxy.seen.some(({ fault }) => fault === 'hang'));
    stop.abort();
    await running;
    const before = proxy.seen.length;
    await make('after-the-end');
    await pause(500);
    expect(proxy.seen.length).toBe(before);
    expect(has('after-the-end')).toBe(false);
  });

  it('comes at once, also while it waits to try again', async () => {
    proxy.add({ match: LIST, fault: { kind: 'answer', status: 500 } });
    start({ backoff: { baseMs: 60_000, capMs: 60_000 } });
    await until('it was refused', () => lists() === 1);
    const asked = performance.now();
    stop.abort();
    await running;
    expect(performance.now() - asked).toBeLessThan(1000);
  });
});

it('keeps namespaces apart that share a store', async () => {
  const other = await ownNamespace();
  try {
    await make('mine');
    await direct.create(other.name, { metadata: { name: 'theirs' } });
    const first = start();
    const firstRun = running;
    const second = start({ namespace: other.name });
    running = Promise.all([firstRun, running]).then(() => {});
    await Promise.all([first.synced, second.synced]);
    expect([...store.keys()].sort()).toEqual([`${own.name}/mine`, `${other.name}/theirs`].sort());
    proxy.add({
      match: { path: new RegExp(`${own.name}.*watch`) },
      fault: { kind: 'expiredWatch' },
      times: 1,
    });
    await watching(2);
    proxy.cutAll(WATCH);
    await until('one listed again', () => lists() === 3);
    await make('more');
    await until('it came', () => has('more'));
    expect(store.get(`${other.name}/theirs`)).toBeDefined();
  } finally {
    await other.remove();
  }
});
