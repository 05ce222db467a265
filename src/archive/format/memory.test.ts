import { expect, test } from 'vitest';
import { free, withRoom } from './memory.ts';

test('memory of its own is freed, once and again', () => {
  const own = Buffer.allocUnsafeSlow(1 << 20);
  free(own);
  expect(own.length).toBe(0);
  free(own);
});

test('memory that Node.js shares out stays', () => {
  const shared = Buffer.from('in a pool');
  expect(shared.buffer.byteLength).toBeGreaterThan(shared.length);
  free(shared);
  expect(shared.toString()).toBe('in a pool');
});

test('room stays while it suffices, and is freed for a larger one', () => {
  const room = Buffer.allocUnsafeSlow(100);
  expect(withRoom(room, 100)).toBe(room);
  expect(withRoom(room, 101).length).toBe(101);
  expect(room.length).toBe(0);
});
