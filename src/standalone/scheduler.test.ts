import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import { createLogger } from '../log/index.ts';
import type { BackupSnapshot } from '../metrics/index.ts';
import { type Cadence, cadenceOf, nextTime } from '../schedule/index.ts';
import { LONGEST_TIMER_MS, Scheduler } from './scheduler.ts';
import { freshState, State } from './state.ts';
import { type RunReport, recover, resume } from './transitions.ts';

const START = Date.UTC(2026, 10, 23);
const MINUTE = 60_000;
const logger = createLogger({ level: 'silent' });
const settle = () => new Promise((resolve) => setImmediate(resolve));

interface World {
  clock: FakeClock;
  saved: State;
  slots: number[];
  snapshot: BackupSnapshot | undefined;
  outcome: RunReport['outcome'];
  /** Run length; undefined: until aborted. */
  takesMs: number | undefined;
  cadence: Cadence;
}

function world(cadence: Cadence, nowMs = START): World {
  return {
    clock: new FakeClock(nowMs),
    saved: freshState('test', nowMs),
    slots: [],
    snapshot: undefined,
    outcome: 'success',
    takesMs: 0,
    cadence,
  };
}

function boot(w: World, orphan?: (signal: AbortSignal) => Promise<RunReport | undefined>): Scheduler {
  const resumed = resume(w.saved, 'test', w.clock.now());
  const scheduler = new Scheduler({
    cadence: w.cadence,
    clock: w.clock,
    state: orphan ? resumed : recover(resumed, undefined, w.clock.now()),
    orphan,
    save: (state) => {
      w.saved = State.parse(JSON.parse(JSON.stringify(state)));
    },
    run: (signal) =>
      new Promise((resolve) => {
        const startedAtMs = w.clock.now();
        w.slots.push(w.saved.running!.slotMs);
        const end = (outcome: RunReport['outcome']) =>
          resolve({
            outcome,
            startedAtMs,
            finishedAtMs: w.clock.now(),
            ...(outcome === 'success' && { archive: { path: '/b/x.tgz', sizeBytes: 5 }, deleted: 1 }),
            ...(outcome === 'failure' && { error: 'no space' }),
          });
        signal.addEventListener('abort', () => end('failure'));
        if (w.takesMs === 0) end(w.outcome);
        else if (w.takesMs !== undefined) w.clock.after(w.takesMs, () => end(w.outcome));
      }),
    onChange: (snapshot) => {
      w.snapshot = snapshot;
    },
    logger,
  });
  return scheduler;
}

const every = (minutes: number): Cadence => ({
  kind: 'interval',
  everyMs: minutes * MINUTE,
  anchorMs: START,
});

function cronDaily(): Cadence {
  const parsed = cadenceOf({ cron: '@daily', timeZone: 'Etc/UTC', intervalMinutes: 1, anchorMs: 0 });
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.cadence;
}

describe('a day', () => {
  test('each scheduled time runs once; metrics and health follow', async () => {
    const w = world(every(60));
    const scheduler = boot(w);
    scheduler.start();
    expect(scheduler.check()).toEqual({ status: 'pending' });
    await w.clock.advanceAsync(24 * 60 * MINUTE);
    expect(w.slots).toEqual(Array.from({ length: 24 }, (_, index) => START + (index + 1) * 60 * MINUTE));
    expect(w.snapshot).toMatchObject({
      runs: { success: 24, failure: 0 },
      retentionDeletes: 24,
      missedSlots: 0,
      nextSlotMs: START + 25 * 60 * MINUTE,
      expectedIntervalSeconds: 3600,
      lastRun: { success: true, sizeBytes: 5 },
    });
    expect(scheduler.check()).toMatchObject({ status: 'ok', archive: '/b/x.tgz', deleted: 1 });
  });

  test('a failure shows, the next success heals', async () => {
    const w = world(every(60));
    const scheduler = boot(w);
    scheduler.start();
    w.outcome = 'failure';
    await w.clock.advanceAsync(60 * MINUTE);
    expect(scheduler.check()).toMatchObject({ status: 'error', error: 'no space' });
    expect(w.snapshot?.lastRun).toMatchObject({ success: false });
    w.outcome = 'success';
    await w.clock.advanceAsync(60 * MINUTE);
    expect(scheduler.check()).toMatchObject({ status: 'ok' });
    expect(w.snapshot?.runs).toEqual({ success: 1, incomplete: 0, failure: 1, skipped_lock: 0 });
  });

  test('a scheduled time that comes during a run is refused and counted', async () => {
    const w = world(every(10));
    w.takesMs = 25 * MINUTE;
    boot(w).start();
    await w.clock.advanceAsync(36 * MINUTE);
    expect(w.slots).toEqual([START + 10 * MINUTE]);
    expect(w.snapshot?.runs).toEqual({ success: 1, incomplete: 0, failure: 0, skipped_lock: 2 });
  });

  test('a run at once, when asked for', async () => {
    const w = world(every(60));
    boot(w).start({ runNow: true });
    await settle();
    expect(w.saved.runs.success).toBe(1);
    expect(w.saved.running).toBeUndefined();
  });
});

describe('far scheduled times', () => {
  test('beyond 2^31 ms', async () => {
    const w = world(every(25 * 24 * 60));
    boot(w).start();
    await w.clock.advanceAsync(25 * 24 * 60 * MINUTE - 1);
    expect(w.slots).toEqual([]);
    await w.clock.advanceAsync(1);
    expect(w.slots).toHaveLength(1);
  });

  test('a wall clock set forward is noticed within a minute, and one catch-up runs', async () => {
    const w = world(every(60));
    boot(w).start();
    w.clock.jump(5 * 60 * MINUTE + 1);
    await w.clock.advanceAsync(LONGEST_TIMER_MS);
    expect(w.slots).toEqual([START + 5 * 60 * MINUTE]);
    expect(w.snapshot?.missedSlots).toBe(4);
  });

  test('one set back a little repeats no run', async () => {
    const w = world(every(60));
    boot(w).start();
    await w.clock.advanceAsync(2 * 60 * MINUTE);
    w.clock.jump(-30_000);
    await w.clock.advanceAsync(60 * MINUTE + 30_000);
    expect(w.slots).toEqual([1, 2, 3].map((index) => START + index * 60 * MINUTE));
    expect(w.saved.clock).toBeUndefined();
  });
});

describe('a clock that was ahead and is corrected', () => {
  const YEAR = 365 * 24 * 60 * MINUTE;

  test('while it runs: the schedule continues from now, and says so until the clock has caught up', async () => {
    const w = world(every(60), START);
    const scheduler = boot(w);
    scheduler.start();
    w.clock.jump(YEAR);
    await w.clock.advanceAsync(MINUTE);
    expect(w.slots).toHaveLength(1);
    w.clock.jump(-YEAR);
    await w.clock.advanceAsync(3 * 60 * MINUTE);
    expect(w.slots.slice(1)).toEqual([1, 2, 3].map((index) => START + index * 60 * MINUTE));
    expect(scheduler.clockCheck()).toMatchObject({ status: 'corrected' });
    expect(w.snapshot?.nextSlotMs).toBe(START + 4 * 60 * MINUTE);
  });

  test.each([
    ['a cron expression', () => cronDaily()],
    [
      'an interval, anchored by that clock',
      (): Cadence => ({ ...every(60), anchorMs: START + YEAR }) as Cadence,
    ],
  ])('at a start, with %s', async (_, cadence) => {
    const w = world(cadence());
    w.saved = {
      ...freshState('test', START + YEAR),
      lastRun: { success: true },
      lastSuccess: { atMs: START + YEAR, archive: '/b/x.tgz', deleted: 0, sizeBytes: 5 },
    };
    const scheduler = boot(w);
    scheduler.start();
    expect(scheduler.clockCheck()).toEqual({
      status: 'corrected',
      corrected_at: new Date(START).toISOString(),
      was_ahead_seconds: YEAR / 1000,
    });
    // Not in the future: an alert on its age would stay silent for a year.
    expect(w.snapshot?.lastSuccessMs).toBe(START);
    expect(scheduler.check()).toMatchObject({ status: 'ok', last_success: new Date(START).toISOString() });
    w.outcome = 'failure';
    await w.clock.advanceAsync(25 * 60 * MINUTE);
    expect(w.slots.length).toBeGreaterThan(0);
    expect(w.slots[0]! - START).toBeLessThanOrEqual(24 * 60 * MINUTE);
    expect(scheduler.check()).toMatchObject({ status: 'error', error: 'no space' });
  });

  test("if today's clock was the wrong one: what it missed meanwhile is not counted in decades", async () => {
    const w = world(every(60), 1000);
    w.cadence = { kind: 'interval', everyMs: 60 * MINUTE, anchorMs: START };
    w.saved = { ...freshState('test', START), settledUntilMs: START + 5 * 60 * MINUTE };
    boot(w).start();
    await settle();
    w.clock.jump(START + 6 * 60 * MINUTE);
    await w.clock.advanceAsync(LONGEST_TIMER_MS);
    expect(w.slots).toEqual([START + 6 * 60 * MINUTE]);
    expect(w.saved.missedSlots).toBeLessThanOrEqual(1);
    expect(w.saved.clock).toBeUndefined();
  });
});

describe('a run of a killed scheduler that is still going', () => {
  function orphaned(w: World) {
    w.saved = {
      ...freshState('test', START),
      settledUntilMs: START + 60 * MINUTE,
      running: { slotMs: START + 60 * MINUTE, startedAtMs: START + 60 * MINUTE, attempt: 1 },
    };
    w.clock.jump(61 * MINUTE);
    const ended = Promise.withResolvers<RunReport | undefined>();
    return { ended, scheduler: boot(w, ({ aborted }) => (aborted ? Promise.reject() : ended.promise)) };
  }

  test('its result is that of its time; nothing runs beside it', async () => {
    const w = world(every(60));
    const { ended, scheduler } = orphaned(w);
    scheduler.start({ runNow: true });
    await w.clock.advanceAsync(60 * MINUTE);
    expect(w.slots).toEqual([]);
    expect(w.saved.runs.skipped_lock).toBe(1);
    ended.resolve({
      outcome: 'success',
      startedAtMs: START,
      finishedAtMs: w.clock.now(),
      archive: { path: '/b/o.tgz', sizeBytes: 7 },
    });
    await settle();
    expect(scheduler.check()).toMatchObject({ status: 'ok', archive: '/b/o.tgz' });
    expect(w.saved).toMatchObject({ runs: { success: 1 } });
    expect(w.saved.running).toBeUndefined();
    await w.clock.advanceAsync(60 * MINUTE);
    expect(w.slots).toEqual([START + 180 * MINUTE]);
  });

  test('without a result its time is taken up', async () => {
    const w = world(every(60));
    const { ended, scheduler } = orphaned(w);
    scheduler.start();
    ended.resolve(undefined);
    await settle();
    await settle();
    expect(w.slots).toEqual([START + 60 * MINUTE]);
    expect(w.saved.runs).toMatchObject({ success: 1, failure: 0, skipped_lock: 0 });
  });

  test('a stop leaves it in the state', async () => {
    const w = world(every(60));
    const { ended, scheduler } = orphaned(w);
    scheduler.start();
    const stopped = scheduler.stop();
    ended.reject(new Error('aborted'));
    await stopped;
    expect(w.saved.running).toMatchObject({ attempt: 1 });
  });
});

describe('stop and start again', () => {
  test('stopped: no timer is left, and it shows', async () => {
    const w = world(every(60));
    const scheduler = boot(w);
    scheduler.start();
    await scheduler.stop();
    expect(w.clock.pending).toBe(0);
    expect(scheduler.check().status).toBe('stopped');
  });

  test('a scheduled time run before is not repeated', async () => {
    const w = world(every(60));
    const first = boot(w);
    first.start();
    await w.clock.advanceAsync(61 * MINUTE);
    await first.stop();
    boot(w).start();
    await w.clock.advanceAsync(10 * MINUTE);
    expect(w.slots).toHaveLength(1);
  });

  test('scheduled times passed meanwhile: the latest runs, the others are missed', async () => {
    const w = world(every(60));
    const first = boot(w);
    first.start();
    await first.stop();
    await w.clock.advanceAsync(4 * 60 * MINUTE + MINUTE);
    boot(w).start();
    await settle();
    expect(w.slots).toEqual([START + 4 * 60 * MINUTE]);
    expect(w.saved.missedSlots).toBe(3);
  });

  test('a run ended by SIGTERM is taken up again and counts as no failure', async () => {
    const w = world(every(60));
    w.takesMs = undefined;
    const first = boot(w);
    first.start();
    await w.clock.advanceAsync(61 * MINUTE);
    await first.stop();
    expect(w.saved.runs.failure).toBe(0);
    w.takesMs = 0;
    boot(w).start();
    await settle();
    expect(w.slots).toEqual([START + 60 * MINUTE, START + 60 * MINUTE]);
    expect(w.saved.runs).toMatchObject({ success: 1, failure: 0 });
  });

  test('taken up after later scheduled times: the latest takes its place', async () => {
    const w = world(every(60));
    w.takesMs = undefined;
    const first = boot(w);
    first.start();
    await w.clock.advanceAsync(61 * MINUTE);
    await first.stop();
    await w.clock.advanceAsync(120 * MINUTE);
    w.takesMs = 0;
    boot(w).start();
    await settle();
    expect(w.slots.at(-1)).toBe(START + 180 * MINUTE);
    expect(w.saved).toMatchObject({ missedSlots: 2, runs: { success: 1, skipped_lock: 0 } });
  });

  test('a run that takes the scheduler with it is tried twice, then counted as failed', async () => {
    const w = world(every(60));
    w.takesMs = undefined;
    boot(w).start();
    await w.clock.advanceAsync(60 * MINUTE);
    // Killed: nothing more is written.
    for (let restart = 0; restart < 3; restart += 1) {
      const killed = { ...w, clock: new FakeClock(w.clock.now() + MINUTE) };
      boot(killed).start();
      w.saved = killed.saved;
    }
    expect(w.slots).toHaveLength(2);
    expect(w.saved.runs.failure).toBe(1);
    expect(w.saved.lastFailure?.error).toMatch(/cut short 2 times/);
  });

  test('an edited schedule starts no run for a past time', () => {
    const state = { ...freshState('every 60m', START), missedSlots: 3 };
    const now = START + 10 * 60 * MINUTE;
    expect(resume(state, 'every 5m', now)).toMatchObject({
      settledUntilMs: now,
      anchorMs: now,
      missedSlots: 3,
    });
  });
});

test('any history of restarts, kills excluded, runs or counts each scheduled time exactly once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          upMinutes: fc.integer({ min: 0, max: 200 }),
          downMinutes: fc.integer({ min: 0, max: 200 }),
          takesMinutes: fc.integer({ min: 0, max: 40 }),
          outcome: fc.constantFrom<RunReport['outcome']>('success', 'failure', 'incomplete', 'skipped_lock'),
        }),
        { maxLength: 8 },
      ),
      async (phases) => {
        const w = world(every(15));
        for (const { upMinutes, downMinutes, takesMinutes, outcome } of phases) {
          w.takesMs = takesMinutes * MINUTE;
          w.outcome = outcome;
          const scheduler = boot(w);
          scheduler.start();
          await settle();
          await w.clock.advanceAsync(upMinutes * MINUTE);
          await scheduler.stop();
          await w.clock.advanceAsync(downMinutes * MINUTE);
        }
        let passed = 0;
        for (
          let at = nextTime(w.cadence, START)!;
          at <= w.saved.settledUntilMs;
          at = nextTime(w.cadence, at)!
        )
          passed += 1;
        const { runs, missedSlots, running } = w.saved;
        const counted = runs.success + runs.failure + runs.incomplete + runs.skipped_lock + missedSlots;
        expect(counted + (running ? 1 : 0)).toBe(passed);
      },
    ),
    { numRuns: 60 },
  );
});
