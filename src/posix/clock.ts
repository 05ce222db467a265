import { call } from './libc.ts';

const CLOCK_REALTIME = 0;
const time = new BigInt64Array(2);
const timeBytes = new Uint8Array(time.buffer);

/**
 * Nanoseconds since the epoch, to within 256. No file that exists was stamped later by a local file system; one made
 * from now on may bear a time of up to 10 ms earlier, because their clock ticks coarsely.
 */
export function realTime(): number {
  call('clock_gettime', undefined, CLOCK_REALTIME, timeBytes);
  return Number(time[0]) * 1e9 + Number(time[1]);
}
