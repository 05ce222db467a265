import { InvalidArgumentError } from 'commander';
import { expect, it } from 'vitest';
import { pointInTime } from './option-values.ts';

it.each([
  ['2026-11-20', '2026-11-20T00:00:00.000Z'],
  ['2026-11-20T03:00', '2026-11-20T03:00:00.000Z'],
  ['2026-11-20T03:00:00', '2026-11-20T03:00:00.000Z'],
  ['2026-11-20T03:00:00.5Z', '2026-11-20T03:00:00.500Z'],
  ['2026-11-20T03:00:00+02:00', '2026-11-20T01:00:00.000Z'],
])('reads the time %s', (text, time) => {
  expect(pointInTime(text).toISOString()).toBe(time);
});

it.each([
  '',
  'yesterday',
  '2026',
  '2026-13-01',
  '2026-11-20T25:00',
  '1763600000',
  '20 Nov 2026',
  '2026-11-20 03:00',
])('refuses %j as a time', (text) => {
  expect(() => pointInTime(text)).toThrow(InvalidArgumentError);
});
