import { setImmediate } from 'node:timers/promises';
import { type Overview, overviewInSteps } from '../overview/index.ts';
import type { Cache } from './cache.ts';

/** Other work goes on after so many schedules. */
const SCHEDULES_AT_ONCE = 50;

/** The state of all backups, as the operator knows the cluster. Gives way to other work again and again. */
export async function overviewOfCache(cache: Cache, nowMs: number): Promise<Overview> {
  const steps = overviewInSteps(
    {
      schedules: cache.schedules.list(),
      restores: cache.restores.list(),
      claims: cache.claims.list(),
      locations: cache.locations.list(),
      runsOf: (key) => cache.runsOf(key),
      scheduleOfBackup: (namespace, name) => cache.backups.get(`${namespace}/${name}`)?.spec.scheduleName,
    },
    nowMs,
  );
  for (let count = 1; ; count += 1) {
    const step = steps.next();
    if (step.done) return step.value;
    if (count % SCHEDULES_AT_ONCE === 0) await setImmediate();
  }
}
