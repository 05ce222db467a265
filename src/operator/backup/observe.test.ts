import { describe, expect, it } from 'vitest';
import { systemClock } from '../../clock/index.ts';
import { KubeError } from '../../kube/errors.ts';
import { Cache } from '../cache.ts';
import { ConcurrencyLimiter } from '../concurrency-limiter.ts';
import type { Resources } from '../resources.ts';
import { at, schedule, scheduledBackup } from '../testing/fixtures.ts';
import { observeBackup } from './observe.ts';

const noLogger = { debug() {}, info() {}, warn() {}, error() {} };
const first = scheduledBackup(at('01:00:00'));
const second = scheduledBackup(at('02:00:00'));
const key = ({ metadata }: typeof first) => `${metadata.namespace}/${metadata.name}`;

/** A cluster in which every read fails, after a call of `onRead`. */
function scene(onRead = () => {}) {
  const descriptor = { group: '', version: 'v1', plural: '', kind: '', namespaced: true };
  const kind = {
    descriptor,
    get: async () => {
      onRead();
      throw new KubeError({ status: 500, reason: '', message: '' });
    },
  };
  const resources = {
    schedules: kind,
    backups: kind,
    restores: kind,
    locations: kind,
    jobs: kind,
    pods: kind,
    claims: kind,
  } as unknown as Resources;
  const ignore = () => {};
  const cache = new Cache(
    { resources, namespaces: [], logger: noLogger, clock: systemClock },
    { schedule: ignore, runs: ignore, job: ignore, backup: ignore, restore: ignore, location: ignore },
  );
  cache.schedules.put(schedule());
  const granted: string[] = [];
  const limiter = new ConcurrencyLimiter({ total: 1, perNamespace: 1 }, (run) => granted.push(run));
  const observe = (backup: typeof first) =>
    observeBackup(backup, cache, resources, limiter, async () => [], at('02:00:01'));
  return { cache, limiter, granted, observe };
}

describe('the place of a run under the concurrency limit', () => {
  it('is given back when a read fails, and goes to the run that waits', async () => {
    const { cache, limiter, granted, observe } = scene(() => {
      limiter.request('team/other', 'team');
    });
    cache.backups.put(first);
    await expect(observe(first)).rejects.toThrow(KubeError);
    expect(granted).toEqual(['team/other']);
  });

  it('is given back by a run that must let another one of its schedule go first', async () => {
    const { cache, limiter, granted, observe } = scene();
    // Seen first, and started; then one appears that was created before it.
    cache.backups.put(second);
    limiter.hold(key(second), 'team');
    cache.backups.put(first);
    expect(limiter.request(key(first), 'team').granted).toBe(false);
    expect((await observe(second)).ahead).toBe(first.metadata.name);
    expect(granted).toEqual([key(first)]);
  });
});
