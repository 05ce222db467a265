/**
 * The operator with a wall clock that its parent sets, over IPC or by the first argument. `{"offsetMs": n}` shifts it
 * from the real time, as when an administrator sets a node's clock. `{"stoppedMs": n}` almost stops it there: it runs at
 * a thousandth of real time, because renewals of a Lease must differ. The monotonic clock is unaffected.
 */
import { parseArguments } from '../../src/cli/operator/arguments.ts';
import { runOperator } from '../../src/cli/operator/run.ts';
import { systemClock } from '../../src/clock/index.ts';
import type { WallClock } from './replica.ts';

const [, , first = '{"offsetMs":0}', ...options] = process.argv;
let wall = JSON.parse(first) as WallClock;
process.on('message', (message) => {
  wall = message as WallClock;
});
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
try {
  const now = () =>
    'stoppedMs' in wall ? wall.stoppedMs + Math.round(performance.now() / 1000) : Date.now() + wall.offsetMs;
  const clock = { ...systemClock, now };
  await runOperator(parseArguments(['node', 'operator', ...options], process.env), stop.signal, clock);
  process.exit(0);
} catch (error) {
  console.error(String(error));
  process.exit(1);
}
