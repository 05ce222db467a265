import { expect, it } from 'vitest';
import { Backoff } from './backoff.ts';

const delays = (random: number, count: number) => {
  const backoff = new Backoff({ baseMs: 800, capMs: 30_000, random: () => random });
  return Array.from({ length: count }, () => backoff.next());
};

it('doubles up to the cap, within its jitter', () => {
  expect(delays(1, 8)).toEqual([800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  expect(delays(0, 8)).toEqual([400, 800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
});

it('never waits less than the server asked for, and starts over after a success', () => {
  const backoff = new Backoff({ baseMs: 800, capMs: 30_000, random: () => 1 });
  expect(backoff.next(45_000)).toBe(45_000);
  expect(backoff.next(1)).toBe(1600);
  backoff.reset();
  expect(backoff.next()).toBe(800);
});

it('stays at the cap after very many failures', () => {
  const backoff = new Backoff({ baseMs: 1, capMs: 1000, random: () => 1 });
  for (let failure = 0; failure < 5000; failure += 1) backoff.next();
  expect(backoff.next()).toBe(1000);
});
