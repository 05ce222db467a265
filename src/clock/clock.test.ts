import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_TIMEOUT_MS, sleep, systemClock } from './index.ts';
import { FakeClock } from './testing/fake-clock.ts';

describe('systemClock.after', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('keeps delays that setTimeout would fire at once', () => {
    const delay = 3 * MAX_TIMEOUT_MS + 1000;
    const fired = vi.fn();
    systemClock.after(delay, fired);
    vi.advanceTimersByTime(delay - 1);
    expect(fired).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(fired).toHaveBeenCalledOnce();
  });

  it('is cancelled after it was armed again', () => {
    const fired = vi.fn();
    const cancel = systemClock.after(2 * MAX_TIMEOUT_MS, fired);
    vi.advanceTimersByTime(MAX_TIMEOUT_MS + 1);
    cancel();
    vi.advanceTimersByTime(2 * MAX_TIMEOUT_MS);
    expect(fired).not.toHaveBeenCalled();
  });
});

describe('sleep', () => {
  it('ends with its signal and leaves no timer', async () => {
    const clock = new FakeClock();
    const stop = new AbortController();
    const slept = sleep(clock, 1e9, stop.signal);
    stop.abort();
    await slept;
    expect(clock.pending).toBe(0);
    await sleep(clock, 1e9, stop.signal);
    expect(clock.pending).toBe(0);
  });
});
