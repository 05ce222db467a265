import { describe, expect, it } from 'vitest';
import type { KmBackupLocation } from '../../api/location.ts';
import type { CheckResult } from '../../api/location-result.ts';
import { ANNOTATIONS } from '../../api/names.ts';
import type { Step } from '../plan.ts';
import { at, checkedLocation, location } from '../testing/fixtures.ts';
import { toTime } from '../time.ts';
import type { Job } from '../workloads.ts';
import {
  decideLocation,
  decideLocationRefused,
  nextCheckMs,
  type ObservedLocation,
} from './decide-location.ts';

const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: false } as const;
const MINUTE = 60_000;
const T = at('01:00:00');

const observe = (more: Partial<ObservedLocation> = {}): ObservedLocation => ({
  location: location(),
  check: { state: 'none' },
  earlier: [],
  lastCopyTime: undefined,
  lastCopyFailure: undefined,
  placement: { ok: true, placement: { tolerations: [] } },
  ...more,
});

function job(attempt = 1, generation = 1): Job {
  const name = `offsite-check-${attempt}`;
  return {
    metadata: {
      name,
      namespace: 'team',
      uid: `uid-${name}`,
      resourceVersion: '1',
      creationTimestamp: toTime(T),
      annotations: { [ANNOTATIONS.attempt]: String(attempt), [ANNOTATIONS.generation]: String(generation) },
    },
  };
}

const found = (more: Partial<CheckResult> = {}): CheckResult => ({
  version: 1,
  command: 'check',
  outcome: 'Succeeded',
  reason: 'LocationChecked',
  message: 's3://backups: location id-1. Works.',
  startedAt: toTime(T),
  finishedAt: toTime(T),
  locationId: 'id-1',
  usage: { archives: 2, objects: 9, bytes: 1000 },
  ...more,
});

const decide = (observed: Partial<ObservedLocation>, nowMs = T) =>
  decideLocation(observe(observed), settings, nowMs);

const kinds = (steps: readonly Step[]) => steps.map(({ kind }) => kind);
function statusOf(steps: readonly Step[]) {
  const step = steps.find(({ kind }) => kind === 'writeLocationStatus');
  if (step?.kind !== 'writeLocationStatus') throw new Error('no status');
  return step.status;
}
const events = (steps: readonly Step[]) =>
  steps.flatMap((step) => (step.kind === 'recordEvent' ? step.event.reason : []));
const commandOf = (steps: readonly Step[]) =>
  steps.flatMap((step) =>
    step.kind === 'createJob' ? (step.job.spec.template.spec?.containers[0]?.args ?? []) : [],
  );

describe('a check', () => {
  it('of a new location makes it where there is none', () => {
    const { steps } = decide({});
    expect(kinds(steps)).toEqual(['writeLocationStatus', 'createJob']);
    expect(statusOf(steps)).toMatchObject({
      url: 's3://backups',
      conditions: [{ type: 'Available', status: 'Unknown', reason: 'CheckPending' }],
    });
    expect(commandOf(steps)).toEqual(expect.arrayContaining(['location', 'check', '--init', 's3://backups']));
  });

  it('of a known location insists on its id and makes none', () => {
    const known = location({}, checkedLocation('True', T - 61 * MINUTE));
    const args = commandOf(decide({ location: known }).steps);
    expect(args).toContain('--expect-id=id-1');
    expect(args).not.toContain('--init');
  });

  it('takes the id that the spec names over the one that it remembers', () => {
    const known = location({ expectedId: 'id-2' }, checkedLocation('False', T - 61 * MINUTE));
    expect(commandOf(decide({ location: known }).steps)).toContain('--expect-id=id-2');
  });

  it('that succeeds records id, usage and time, and says so once', () => {
    const check = { state: 'succeeded', job: job(), result: found() } as const;
    const { steps } = decide({ check });
    expect(statusOf(steps)).toMatchObject({
      locationId: 'id-1',
      usage: { archives: 2, objects: 9, bytes: 1000 },
      lastCheckTime: toTime(T),
      observedGeneration: 1,
      failures: 0,
      checks: 1,
      conditions: [{ status: 'True', reason: 'LocationChecked', lastTransitionTime: toTime(T) }],
    });
    expect(events(steps)).toEqual(['LocationFound']);
    const known = location({}, checkedLocation('True', T - MINUTE));
    expect(events(decide({ location: known, check }).steps)).toEqual([]);
  });

  it('that may not delete leaves the location available, and says what that means', () => {
    const result = found({ deleteRefused: 'AccessDenied' });
    const [condition] = statusOf(decide({ check: { state: 'succeeded', job: job(), result } }).steps)
      .conditions!;
    expect(condition).toMatchObject({ status: 'True', reason: 'DeleteRefused' });
    expect(condition?.message).toContain('AccessDenied');
  });

  it('that fails keeps the id, says what to do, and comes again after 1, 2, 4 … minutes', () => {
    let now = T;
    let known = location({}, checkedLocation('True', T - MINUTE));
    const waits: number[] = [];
    for (let attempt = 2; attempt < 10; attempt++) {
      const check = {
        state: 'failed',
        job: job(attempt),
        reason: 'LocationUnsuitable',
        message: 's3://backups is not the location it was.',
      } as const;
      const { steps } = decide({ location: known, check }, now);
      expect(events(steps)).toEqual(attempt === 2 ? ['LocationLost'] : []);
      known = { ...known, status: statusOf(steps) };
      expect(known.status).toMatchObject({ locationId: 'id-1', failures: attempt - 1, checks: attempt });
      const dueMs = nextCheckMs(observe({ location: known }));
      waits.push((dueMs - now) / MINUTE);
      expect(kinds(decide({ location: known }, dueMs - 1).steps)).not.toContain('createJob');
      expect(kinds(decide({ location: known }, dueMs).steps)).toContain('createJob');
      now = dueMs;
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 60, 60]);
    expect(known.status?.conditions?.[0]?.message).toContain('set its spec.expectedId');
  });

  it('of an old spec does not count for the new one', () => {
    const changed: KmBackupLocation = { ...location(), metadata: { ...location().metadata, generation: 2 } };
    const check = { state: 'succeeded', job: job(1, 1), result: found() } as const;
    const status = statusOf(decide({ location: changed, check }).steps);
    expect(status.observedGeneration).toBe(1);
    expect(kinds(decide({ location: { ...changed, status } }).steps)).toContain('createJob');
  });

  it('whose pod does not start is given up', () => {
    const check = { state: 'active', job: job(), isWaiting: true, message: 'no node' } as const;
    expect(decide({ check }, T + 299_000)).toMatchObject({ requeueAtMs: T + 300_000 });
    const { steps } = decide({ check }, T + 300_000);
    expect(kinds(steps)).toEqual(['writeLocationStatus', 'recordEvent', 'deleteJob']);
    expect(statusOf(steps).conditions).toMatchObject([{ status: 'False', reason: 'StartDeadlineExceeded' }]);
  });

  it('that was deleted, cannot be placed or was refused has failed', () => {
    const gone = decide({ check: { state: 'gone', job: { name: 'a', uid: 'b' } } });
    expect(statusOf(gone.steps).conditions).toMatchObject([{ status: 'False', reason: 'JobDeleted' }]);
    const placement = { ok: false, reason: 'ClaimNotFound', message: 'no claim' } as const;
    expect(statusOf(decide({ placement }).steps)).toMatchObject({
      failures: 1,
      lastCheckTime: toTime(T),
      conditions: [{ status: 'False', reason: 'ClaimNotFound' }],
    });
    const refused = decideLocationRefused(location(), { reason: 'JobForbidden', message: 'quota' }, T);
    expect(statusOf(refused.steps).conditions).toMatchObject([{ status: 'False', reason: 'JobForbidden' }]);
  });
});

describe('when the next check is due', () => {
  const known = (spec = {}) => location(spec, checkedLocation('True', T));

  it.each<[string, Partial<ObservedLocation>, number]>([
    ['never checked', {}, 0],
    ['every hour', { location: known() }, T + 60 * MINUTE],
    ['as the spec says', { location: known({ checkInterval: '15m' }) }, T + 15 * MINUTE],
    ['at once after a copy failed', { location: known(), lastCopyFailure: toTime(T + 1000) }, 0],
    [
      'not for a failure that a check has looked into',
      { location: known(), lastCopyFailure: toTime(T - 1000) },
      T + 60 * MINUTE,
    ],
    [
      'no later than the interval after a failure',
      { location: location({ checkInterval: '1m' }, { ...checkedLocation('False', T), failures: 9 }) },
      T + MINUTE,
    ],
  ])('%s', (_, observed, expected) => expect(nextCheckMs(observe(observed))).toBe(expected));
});

it('keeps the latest Job for its log until the next one, and tells of copies', () => {
  const known = location({}, checkedLocation('True', T));
  const idle = decide({ location: known, earlier: [job(2), job(1)], lastCopyTime: toTime(T) });
  expect(idle.steps.filter(({ kind }) => kind === 'deleteJob')).toMatchObject([
    { target: { name: 'offsite-check-1' } },
  ]);
  expect(statusOf(idle.steps).lastCopyTime).toBe(toTime(T));
  const check = { state: 'active', job: job(3), isWaiting: false, message: '' } as const;
  const busy = decide({ location: known, earlier: [job(2)], check });
  expect(busy.steps.filter(({ kind }) => kind === 'deleteJob')).toHaveLength(1);
  expect(statusOf(busy.steps).job?.name).toBe('offsite-check-3');
});

it('does nothing for a location that is being deleted', () => {
  const { metadata, ...rest } = location();
  const going = { ...rest, metadata: { ...metadata, deletionTimestamp: toTime(T) } };
  expect(decide({ location: going }).steps).toEqual([]);
});
