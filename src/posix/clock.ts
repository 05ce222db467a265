import { call } from './libc.ts';

const CLOCK_REALTIME = 0;
const time = new BigInt64Array(2);
const timeBytes = new Uint8Array(time.buffer);

/**
 * Nanoseconds since the epoch, to within 256. Existing files on a local file system do not have later times. A file made
 * from now on may have a time up to 10 ms earlier, because the clock of file systems is coarse.
 */
export function realTime(): number {
  call('clock_gettime', undefined, CLOCK_REALTIME, timeBytes);
  return Number(time[0]) * 1e9 + Number(time[1]);
}
