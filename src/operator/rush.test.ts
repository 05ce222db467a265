import { describe, expect, it } from 'vitest';
import { FakeClock } from '../clock/testing/fake-clock.ts';
import { Rush } from './rush.ts';

describe('a rush of runs', () => {
  it('puts off other work until the last run has had its turn', () => {
    const rush = new Rush(2, new FakeClock());
    const done: string[] = [];
    const defer = (key: string) => rush.defer(key, () => done.push(key));
    rush.start('a');
    expect(defer('one run is no rush')).toBe(false);
    rush.start('b');
    expect([defer('x'), defer('x'), defer('y')]).toEqual([true, true, true]);
    rush.end('a');
    rush.end('of a run it does not know');
    expect([defer('z'), done]).toEqual([true, []]);
    rush.end('b');
    expect(done).toEqual(['x', 'y', 'z']);
    expect(defer('after it')).toBe(false);
  });

  it('lets Jobs wait until every run has its record', () => {
    const rush = new Rush(2, new FakeClock());
    const done: string[] = [];
    const hold = (run: string) => rush.hold(run, () => done.push(run));
    rush.start('a');
    expect(hold('a')).toBe(false);
    rush.start('b');
    expect([hold('a'), hold('a'), hold('b'), hold('made before')]).toEqual([true, true, true, false]);
    rush.recorded();
    expect(done).toEqual(['a', 'b']);
    rush.recorded();
    expect(done).toEqual(['a', 'b']);
  });

  it('that does not end holds no Job up for longer than 3 s and nothing for longer than half a minute, nor again before it has ended', () => {
    const clock = new FakeClock();
    const rush = new Rush(1, clock);
    const done: string[] = [];
    rush.start('a');
    rush.defer('x', () => done.push('x'));
    rush.hold('a', () => done.push('a'));
    clock.advance(2_999);
    expect(done).toEqual([]);
    clock.advance(1);
    expect(done).toEqual(['a']);
    expect(rush.hold('a', () => {})).toBe(false);
    clock.advance(26_999);
    expect(done).toEqual(['a']);
    clock.advance(1);
    expect(done).toEqual(['a', 'x']);
    expect(rush.hold('a', () => {})).toBe(false);
    rush.start('b');
    expect(rush.defer('y', () => {})).toBe(false);
    rush.end('a');
    rush.end('b');
    rush.start('c');
    expect(rush.defer('y', () => {})).toBe(true);
  });
});
