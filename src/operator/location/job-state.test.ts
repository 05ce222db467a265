import { describe, expect, it } from 'vitest';
import { CheckResult } from '../../api/location-result.ts';
import { at, job, pod, scheduledBackup } from '../testing/fixtures.ts';
import { backoffMs, stateOfLocationJob } from './job-state.ts';

const one = scheduledBackup(at('01:00:00'));
const result = (outcome: 'Succeeded' | 'Failed', reason: string): CheckResult => ({
  version: 1,
  command: 'check',
  outcome,
  reason,
  message: 'said',
  startedAt: '2026-03-01T01:00:00Z',
  finishedAt: '2026-03-01T01:00:01Z',
});
const ended = (exitCode: number, message?: string) =>
  pod({ terminated: { exitCode, ...(message !== undefined && { message }) } });
const stateOf = (...[condition, ...pods]: [Parameters<typeof job>[1], ...ReturnType<typeof pod>[]]) =>
  stateOfLocationJob(job(one, condition), pods, CheckResult, 'NoCheckReported');

describe('what a Job came to', () => {
  const good = JSON.stringify(result('Succeeded', 'LocationChecked'));
  const bad = JSON.stringify(result('Failed', 'LocationDenied'));

  it.each<[string, ReturnType<typeof stateOf>, object]>([
    ['no pod yet', stateOf(undefined), { state: 'active', isWaiting: true }],
    ['runs', stateOf(undefined, pod({ running: {} })), { state: 'active', isWaiting: false }],
    ['a report before the end of the Job', stateOf(undefined, ended(0, good)), { state: 'succeeded' }],
    [
      'a report of success with a failed Job',
      stateOf({ type: 'Failed' }, ended(1, good)),
      { state: 'succeeded' },
    ],
    [
      'a report of failure',
      stateOf({ type: 'Failed' }, ended(1, `log\n${bad}\n`)),
      { state: 'failed', reason: 'LocationDenied', message: 'said' },
    ],
    [
      'out of memory',
      stateOf({ type: 'Failed' }, pod({ terminated: { exitCode: 137, reason: 'OOMKilled' } })),
      { state: 'failed', reason: 'OutOfMemory' },
    ],
    ['no report', stateOf({ type: 'Complete' }, ended(0)), { state: 'failed', reason: 'NoCheckReported' }],
    [
      'words in place of a report',
      stateOf({ type: 'Failed' }, ended(1, 'Killed')),
      { state: 'failed', reason: 'ProgramFailed' },
    ],
    [
      'a report of another kind',
      stateOf({ type: 'Complete' }, ended(0, JSON.stringify({ version: 1, outcome: 'Succeeded' }))),
      { state: 'failed', reason: 'NoCheckReported' },
    ],
    ['no pod left', stateOf({ type: 'Complete' }), { state: 'failed', reason: 'NoCheckReported' }],
  ])('%s', (_, state, expected) => expect(state).toMatchObject(expected));
});

it('the back-off doubles up to an hour', () => {
  expect([0, 1, 2, 3, 6, 7, 1000].map((failures) => backoffMs(failures) / 60_000)).toEqual([
    1, 1, 2, 4, 32, 60, 60,
  ]);
});
