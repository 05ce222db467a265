import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import { WorkQueue } from './workqueue.ts';

const DAY_MS = 86_400_000;
const settled = () => new Promise((resolve) => setImmediate(resolve));

let clock: FakeClock;
let queue: WorkQueue;
let jitter: number;
let stop: AbortController;
let running: Promise<void> | undefined;

beforeEach(() => {
  clock = new FakeClock();
  jitter = 1;
  queue = new WorkQueue({ clock, backoff: { baseMs: 100, capMs: 1000 }, random: () => jitter });
  stop = new AbortController();
  running = undefined;
});

afterEach(async () => {
  stop.abort();
  await running;
});

/** Starts workers; gives the keys in the order of their processing, each with the time. */
function start(process: (key: string) => Promise<void> = async () => {}, concurrency = 1): string[] {
  const done: string[] = [];
  running = queue.run({
    concurrency,
    signal: stop.signal,
    process: async (key) => {
      done.push(`${key}@${clock.monotonic()}`);
      await process(key);
    },
  });
  return done;
}

async function pass(ms: number): Promise<void> {
  clock.advance(ms);
  await settled();
}

describe('priorities', () => {
  const [URGENT, NORMAL, IDLE] = [0, 1, 2];
  beforeEach(() => {
    queue = new WorkQueue({ clock, patienceMs: [0, 1_000, 10_000] });
  });

  it('serve the most urgent first, in order of arrival within a priority', async () => {
    queue.add('idle', IDLE);
    queue.add('normal', NORMAL);
    queue.add('first', URGENT);
    queue.add('second', URGENT);
    expect([URGENT, NORMAL, IDLE].map((priority) => queue.waitsBefore(priority))).toEqual([
      false,
      true,
      true,
    ]);
    expect(queue.depth).toBe(4);
    const done = start();
    await settled();
    expect(done).toEqual(['first@0', 'second@0', 'normal@0', 'idle@0']);
  });

  it('of a key added twice are the more urgent one, whether it waits, is worked on or is delayed', async () => {
    queue.add('a', IDLE);
    queue.add('b', NORMAL);
    queue.add('a', URGENT);
    queue.add('a', IDLE);
    queue.addAfter('c', 10, IDLE);
    queue.addAfter('c', 20, URGENT);
    queue.addAfter('d', 10, NORMAL);
    expect(queue.depth).toBe(2);
    clock.advance(10);
    let once = true;
    const done = start(async (key) => {
      if (key !== 'a' || !once) return;
      once = false;
      queue.add('e', NORMAL);
      queue.add('a', IDLE);
      queue.add('a', URGENT);
    });
    await settled();
    expect(done.map((one) => one.replace('@10', ''))).toEqual(['a', 'c', 'a', 'b', 'd', 'e']);
  });

  it('leave no key to wait beyond its patience', async () => {
    const done = start(async () => {
      if (done.length < 30) queue.add(`urgent-${done.length}`, URGENT);
      clock.advance(500);
    });
    queue.add('idle', IDLE);
    queue.add('normal', NORMAL);
    queue.add('urgent-0', URGENT);
    await settled();
    expect(done.slice(0, 3)).toEqual(['urgent-0@0', 'urgent-1@500', 'normal@1000']);
    expect(done).toContain('idle@10000');
  });

  it('are told to whoever works on the key, and are kept after a failure', async () => {
    const told: string[] = [];
    let failures = 1;
    running = queue.run({
      concurrency: 1,
      signal: stop.signal,
      process: async (key, priority) => {
        told.push(`${key} ${priority}`);
        if (failures-- > 0) throw new Error('thrown by process');
      },
    });
    queue.add('a', NORMAL);
    await settled();
    await pass(60_000);
    expect(told).toEqual(['a 1', 'a 1']);
  });
});

describe('add', () => {
  it('holds a key once, in order of arrival', async () => {
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    expect(queue.depth).toBe(3);
    const done = start();
    await settled();
    expect(done).toEqual(['a@0', 'b@0', 'c@0']);
  });

  it('brings a key again that was added while it was worked on, and never with two workers', async () => {
    const ends: (() => void)[] = [];
    const done = start(() => new Promise((resolve) => ends.push(resolve)), 3);
    queue.add('a');
    await settled();
    queue.add('a');
    queue.add('a');
    await settled();
    expect(done).toEqual(['a@0']);
    ends.shift()!();
    await settled();
    expect(done).toEqual(['a@0', 'a@0']);
    ends.shift()!();
    await settled();
    expect(done).toHaveLength(2);
  });

  it('keeps a busy key from starving others', async () => {
    const done = start(async (key) => {
      if (key === 'busy' && done.length < 20) queue.add('busy');
    });
    queue.add('busy');
    queue.add('other');
    await settled();
    expect(done.indexOf('other@0')).toBe(1);
  });

  it('uses all workers', async () => {
    let most = 0;
    let now = 0;
    start(async () => {
      now += 1;
      most = Math.max(most, now);
      await settled();
      now -= 1;
    }, 4);
    await settled();
    for (let key = 0; key < 10; key += 1) queue.add(`k${key}`);
    await settled();
    expect(most).toBe(4);
  });
});

describe('addAfter', () => {
  it('waits, and the earliest of several delays counts', async () => {
    const done = start();
    queue.addAfter('a', 5000);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 3000);
    await pass(999);
    expect(done).toEqual([]);
    await pass(1);
    expect(done).toEqual(['a@1000']);
    await pass(10_000);
    expect(done).toEqual(['a@1000']);
  });

  it('keeps delays beyond 24.8 days, with one timer for all keys', async () => {
    const done = start();
    for (let day = 400; day > 0; day -= 40) queue.addAfter(`d${day}`, day * DAY_MS);
    expect(clock.pending).toBe(1);
    await pass(39 * DAY_MS);
    expect(done).toEqual([]);
    await pass(DAY_MS);
    expect(done).toEqual([`d40@${40 * DAY_MS}`]);
    expect(clock.pending).toBe(1);
  });

  it('does not mind the wall clock', async () => {
    const done = start();
    queue.addAfter('a', 1000);
    clock.jump(DAY_MS);
    await settled();
    expect(done).toEqual([]);
    await pass(1000);
    expect(done).toEqual(['a@1000']);
  });

  it('brings keys in the order of their due times, whatever the order they came in', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(20), fc.nat(500)), { maxLength: 60 }), async (delays) => {
        const clock = new FakeClock();
        const queue = new WorkQueue({ clock });
        const stop = new AbortController();
        const done: string[] = [];
        const running = queue.run({
          concurrency: 1,
          signal: stop.signal,
          process: async (key) => void done.push(key),
        });
        const earliest = new Map<string, number>();
        for (const [key, delay] of delays) {
          // From 1: a delay of nothing is an `add`, which no later one replaces.
          queue.addAfter(`k${key}`, delay + 1);
          earliest.set(`k${key}`, Math.min(delay + 1, earliest.get(`k${key}`) ?? Number.POSITIVE_INFINITY));
        }
        for (let tick = 0; tick <= 501; tick += 1) {
          clock.advance(1);
          await Promise.resolve();
        }
        await settled();
        stop.abort();
        await running;
        expect([...done].sort()).toEqual([...earliest.keys()].sort());
        const due = done.map((key) => earliest.get(key)!);
        expect(due).toEqual([...due].sort((a, b) => a - b));
      }),
      { numRuns: 30 },
    );
  });
});

describe('failures', () => {
  it('delay a key ever longer up to the cap, until it is forgotten; other keys are not delayed', async () => {
    const done = start(async (key) => {
      if (key === 'bad') queue.addRateLimited(key);
    });
    queue.add('bad');
    queue.add('good');
    await settled();
    for (let step = 0; step < 40; step += 1) await pass(100);
    expect(done).toEqual([
      'bad@0',
      'good@0',
      'bad@100',
      'bad@300',
      'bad@700',
      'bad@1500',
      'bad@2500',
      'bad@3500',
    ]);
    queue.forget('bad');
    queue.addRateLimited('worse');
    await pass(100);
    expect(done.at(-1)).toBe('worse@4100');
  });

  it('that came together come back apart, after half of the delay at least', async () => {
    const done = start();
    for (const [key, random] of [
      ['first', 0],
      ['second', 0.5],
    ] as const) {
      jitter = random;
      queue.addRateLimited(key);
    }
    for (let step = 0; step < 4; step += 1) await pass(25);
    expect(done).toEqual(['first@50', 'second@75']);
  });

  it('of `process` itself put the key back and end no worker', async () => {
    let failures = 2;
    const done = start(async () => {
      if (failures-- > 0) throw new Error('thrown by process');
    });
    queue.add('a');
    await settled();
    await pass(100);
    await pass(200);
    expect(done).toEqual(['a@0', 'a@100', 'a@300']);
    queue.add('b');
    await settled();
    expect(done.at(-1)).toBe('b@300');
  });
});

describe('the end', () => {
  it('lets work under way finish and starts none', async () => {
    let finish = () => {};
    const done = start(
      () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    );
    queue.add('a');
    queue.add('b');
    await settled();
    stop.abort();
    let ended = false;
    void running!.then(() => {
      ended = true;
    });
    await settled();
    expect(ended).toBe(false);
    finish();
    await running;
    expect(done).toEqual(['a@0']);
    expect(queue.depth).toBe(1);
  });

  it('wakes idle workers, and cancels the timer', async () => {
    start(undefined, 3);
    queue.addAfter('a', 1000);
    await settled();
    stop.abort();
    await running;
    expect(clock.pending).toBe(0);
  });
});

it('reports how many keys wait, for how long, and how long they are worked on', async () => {
  const told: string[] = [];
  queue = new WorkQueue({
    clock,
    metrics: {
      onWaiting: (key, change) => told.push(`${key} waiting ${change}`),
      onLatency: (key, seconds) => told.push(`${key} waited ${seconds}`),
      onWork: (key, seconds) => told.push(`${key} worked ${seconds}`),
      onRetry: (key) => told.push(`${key} retry`),
    },
  });
  queue.add('a');
  clock.advance(2000);
  start(async () => clock.advance(3000));
  await settled();
  queue.addRateLimited('a');
  expect(told).toEqual(['a waiting 1', 'a waiting -1', 'a waited 2', 'a worked 3', 'a retry']);
});
