import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Fault, Match } from '../faultproxy/index.ts';
import { eventually } from '../support/kubectl.ts';
import { ShiftedClock } from '../support/operator-in-process.ts';
import { inScene } from '../support/operator-scene.ts';

const MINUTE_MS = 60_000;

/** Right after the next full minute, at which a schedule of every minute is due. */
function afterNextMinute(): ShiftedClock {
  const clock = new ShiftedClock();
  clock.offsetMs = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS + 500 - Date.now();
  return clock;
}

// First, since it takes longest.
describe.concurrent('a node that is lost', () => {
  it(
    'takes the pod with it: the Job makes another, and the loss is no failure of the run',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes', { backoffLimit: 0 });
      const name = await scene.runNow('notes', 'now');
      const lost = await scene.pod();
      const path = `/api/v1/namespaces/${scene.namespace}/pods/${lost.metadata.name}/binding`;
      const target = { apiVersion: 'v1', kind: 'Node', name: 'node-that-burned' };
      await scene.client.request({
        method: 'POST',
        path,
        body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: lost.metadata.name }, target },
      });
      // The controller manager takes 40 s and more to believe that a node is gone.
      await scene.anotherPod(lost);
      await scene.kubelet();
      expect((await scene.finished(name)).status).toMatchObject({ phase: 'Succeeded' });
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );
});

describe.concurrent('a scheduled time is run once, and recorded', () => {
  const every: [what: string, match: Match, fault: Fault, times?: number][] = [
    ['every request is delayed', {}, { kind: 'delay', ms: 300 }],
    ['every write arrives twice', { method: 'POST' }, { kind: 'duplicate' }],
    ['every status write arrives twice', { path: /\/status/ }, { kind: 'duplicate' }, 3],
    ['the first answers to creates are lost', { method: 'POST' }, { kind: 'loseAnswer' }, 3],
    ['the first answers to status writes are lost', { path: /\/status/ }, { kind: 'loseAnswer' }, 3],
    ['connections break', { watch: false }, { kind: 'drop' }, 5],
    ['the API server is busy', { watch: false }, { kind: 'answer', status: 429, retryAfterSeconds: 1 }, 4],
    ['the API server fails', { watch: false }, { kind: 'answer', status: 500 }, 6],
    ['writes meet conflicts', { path: /\/status/ }, { kind: 'answer', status: 409 }, 4],
    ['every watch expires at once', { watch: true }, { kind: 'expiredWatch' }, 8],
    ['watches are refused as expired', { watch: true }, { kind: 'answer', status: 410 }, 8],
  ];
  it.each(every)(
    'while %s',
    inScene(async (scene, _, match, fault, times) => {
      const { proxy, file } = await scene.proxied();
      await scene.kubelet();
      // Before the schedule, which would miss a minute that passes between the two.
      const clock = afterNextMinute();
      await scene.schedule('notes', { cron: '* * * * *' });
      await scene.operator({ kubeconfig: file, clock });
      const struck = proxy.add({ match, fault, ...(times && { times }) });
      if (match.watch) proxy.cutAll({ watch: true });
      const { status } = await scene.succeeded('notes', 1);
      expect(struck.struck).toBeGreaterThan(0);
      expect(status).toMatchObject({ runs: { succeeded: 1, failed: 0 }, missedSlots: 0 });
      expect(await scene.backups()).toHaveLength(1);
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );

  it.each([
    ['schedules', /kmbackupschedules\?/],
    ['runs', /kmbackups\?/],
    ['Jobs', /jobs\?/],
    ['pods', /pods\?/],
    ['everything', /./],
  ])(
    'and so is the next, when the watch of %s falls silent',
    inScene(async (scene, _, path) => {
      const { proxy, file } = await scene.proxied();
      const clock = afterNextMinute();
      await scene.kubelet();
      await scene.schedule('notes', { cron: '* * * * *' });
      const operator = await scene.operator({ kubeconfig: file, clock });
      await scene.succeeded('notes', 1);
      for (let slot = 2; slot <= 3; slot += 1) {
        if (slot === 2) expect(proxy.freezeAll({ watch: true, path })).toBeGreaterThan(0);
        clock.offsetMs += MINUTE_MS;
        operator.resync();
        await scene.succeeded('notes', slot);
      }
      const { status } = await scene.succeeded('notes', 3);
      expect(status).toMatchObject({ runs: { succeeded: 3, failed: 0 }, missedSlots: 0 });
      expect(scene.jobsEverMade).toHaveLength(3);
    }),
  );
});

describe.concurrent('a view that is behind', () => {
  it(
    'does not take the ended Job of an ended run for one that still runs',
    inScene(async (scene) => {
      const { proxy, file } = await scene.proxied();
      await scene.schedule('notes');
      await scene.operator({ kubeconfig: file });
      const name = await scene.runNow('notes');
      await scene.pod();
      await scene.backupUntil(name, ({ job }) => job !== undefined);
      expect(proxy.freezeAll({ watch: true, path: /(jobs|pods)\?/ })).toBe(2);
      await scene.kubelet();
      // Another leader sees the end of the Job and records it.
      await scene.operator();
      await scene.finished(name);
      await eventually(
        async () => proxy.seen.filter(({ method, path }) => method === 'DELETE' && path.includes('/jobs/')),
        (tries) => tries.length >= 2,
        () => 'two tries to delete what seems to run',
      );
      expect(await scene.jobs()).toMatchObject([{ status: { completionTime: expect.any(String) } }]);
    }),
  );
});

describe.concurrent('the requests of a run', () => {
  it(
    'delete its Job once, though the watch reports its deletion later',
    inScene(async (scene) => {
      const { proxy, file } = await scene.proxied();
      await scene.kubelet();
      const names = Array.from({ length: 8 }, (_, i) => `notes-${i}`);
      for (const name of names) await scene.schedule(name, { successfulJobsHistoryLimit: 0 });
      await scene.operator({ kubeconfig: file });
      for (const name of names) await scene.runNow(name);
      for (const name of names) await scene.succeeded(name, 1);
      await scene.jobCount(0);
      const deletes = proxy.seen.filter(({ method }) => method === 'DELETE');
      expect(deletes.filter(({ status }) => status === 200)).toHaveLength(names.length);
      expect(deletes.filter(({ status }) => status === 404)).toEqual([]);
    }),
  );
});

describe.concurrent('an operator without an API server', () => {
  it(
    'waits for it at its start, and serves what came meanwhile',
    inScene(async (scene) => {
      const { proxy, file } = await scene.proxied();
      await scene.kubelet();
      await proxy.down();
      const slotMs = await scene.scheduleWithOneSlot('notes');
      const offsetMs = slotMs + 1_000 - Date.now();
      const operator = scene.spawnOperator({ kubeconfig: file, offsetMs });
      await new Promise((resolve) => setTimeout(resolve, 3_000));
      expect(operator.exitCode).toBeNull();
      await proxy.up();
      const { status } = await scene.succeeded('notes', 1);
      expect(status).toMatchObject({ runs: { succeeded: 1 }, missedSlots: 0 });
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );

  it(
    'ends with 1, never with 0, when it led and cannot renew',
    inScene(async (scene) => {
      const { proxy, file } = await scene.proxied();
      const operator = scene.spawnOperator({
        kubeconfig: file,
        podName: 'only',
        options: ['--lease-duration=15', '--renew-deadline=10', '--retry-period=1'],
      });
      const exited = once(operator, 'exit');
      // The first renewal proves that the answer to the first write arrived.
      await eventually(
        async () => proxy.seen.some(({ method, path }) => method === 'PUT' && path.includes('/leases/')),
        (renewed) => renewed,
        () => 'the Lease to be renewed',
      );
      await proxy.down();
      expect(await exited).toEqual([1, null]);
    }),
  );
});

describe.concurrent('the clock', () => {
  it(
    'set back by an hour and set right again runs nothing twice, and goes on each time',
    inScene(async (scene) => {
      const clock = afterNextMinute();
      await scene.kubelet();
      await scene.schedule('notes', { cron: '* * * * *' });
      const times: string[] = [];
      await scene.follow(scene.all.backups, ({ type, object: { spec } }) => {
        if (type === 'added' && spec.scheduledTime !== undefined) times.push(spec.scheduledTime);
      });
      const operator = await scene.operator({ clock });
      await scene.succeeded('notes', 1);
      clock.offsetMs -= 60 * MINUTE_MS;
      operator.resync();
      await scene.scheduleUntil(
        'notes',
        ({ status }) => Date.parse(status?.settledUntil ?? '') <= clock.now(),
      );
      for (const runs of [2, 3]) {
        clock.offsetMs += MINUTE_MS;
        operator.resync();
        await scene.succeeded('notes', runs);
      }
      clock.offsetMs += 58 * MINUTE_MS;
      operator.resync();
      clock.offsetMs += MINUTE_MS;
      operator.resync();
      await scene.succeeded('notes', 4);
      expect(scene.jobsEverMade).toHaveLength(new Set(times).size);
    }),
  );

  it(
    'set forward is found out without a word from anybody',
    inScene(async (scene) => {
      const clock = new ShiftedClock();
      await scene.kubelet();
      await scene.schedule('hourly', { cron: undefined, intervalMinutes: 60 });
      await scene.operator({ clock });
      await scene.scheduleUntil('hourly', ({ status }) => status?.nextScheduleTime !== undefined);
      clock.offsetMs += 61 * MINUTE_MS;
      await scene.succeeded('hourly', 1);
      expect(scene.jobsEverMade).toHaveLength(1);
    }),
  );

  it.each([
    ['skips', '2027-03-27T12:00:00Z', '2027-03-28T12:00:00Z', '2027-03-28T01:00:00Z'],
    ['shows twice', '2027-10-30T12:00:00Z', '2027-10-31T12:00:00Z', '2027-10-31T00:30:00Z'],
  ])(
    'in a zone that %s a scheduled time: one run',
    inScene(async (scene, _, before, after, slot) => {
      const clock = new ShiftedClock();
      await scene.kubelet();
      await scene.schedule('notes', { cron: '30 2 * * *', timeZone: 'Europe/Berlin' });
      clock.offsetMs = Date.parse(before) - Date.now();
      const operator = await scene.operator({ clock });
      const first = await scene.succeeded('notes', 1);
      clock.offsetMs = Date.parse(after) - Date.now();
      operator.resync();
      const second = await scene.succeeded('notes', 2);
      expect(second.status?.missedSlots).toBe(first.status?.missedSlots);
      expect(second.status?.lastScheduleTime).toBe(slot);
      expect(scene.jobsEverMade).toHaveLength(2);
    }),
  );
});
