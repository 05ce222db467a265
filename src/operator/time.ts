import { CLOCK_TOLERANCE_MS } from '../schedule/index.ts';

/** `metav1.Time`: RFC 3339 in UTC, whole seconds. */
export function toTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** Epoch milliseconds of a `metav1.Time`. */
export function fromTime(time: string): number {
  return Date.parse(time);
}

/** A time in the future was recorded by a clock that was ahead: it is replaced with the time of the correction. */
export function corrected(time: string, nowMs: number): string {
  return time > toTime(nowMs + CLOCK_TOLERANCE_MS) ? toTime(nowMs) : time;
}
