import { expect, it } from 'vitest';
import { at, pod } from '../testing/fixtures.ts';
import { causeOf, type WarningEvent } from './events.ts';

const { metadata } = pod({});
const iso = (time: string) => new Date(at(time)).toISOString();
const warning = (reason: string, times: Partial<WarningEvent>): WarningEvent => ({
  metadata: { ...metadata, creationTimestamp: iso('01:00:00') },
  reason,
  note: `${reason} says why`,
  ...times,
});

it.each<[name: string, newest: WarningEvent]>([
  [
    'a series',
    warning('FailedMount', { eventTime: iso('00:10:00'), series: { lastObservedTime: iso('02:00:00') } }),
  ],
  ['an old component', warning('FailedMount', { eventTime: null, deprecatedLastTimestamp: iso('02:00:00') })],
  ['a new component', warning('FailedMount', { eventTime: iso('02:00:00') })],
])('quotes the newest warning, of %s', (_name, newest) => {
  const older = warning('FailedScheduling', { eventTime: iso('01:30:00') });
  const expected = { reason: 'FailedMount', message: 'FailedMount says why' };
  expect(causeOf([newest, older])).toEqual(expected);
  expect(causeOf([older, newest])).toEqual(expected);
});

it('has nothing to quote where there is no warning', () => {
  expect(causeOf([])).toBeUndefined();
});
