/**
 * The operator with a wall clock that its parent sets: each message over IPC is a new offset in milliseconds,
 * and the monotonic clock goes on, as when an administrator sets the clock of a node.
 */
import { parseArguments } from '../../src/cli/operator/arguments.ts';
import { runOperator } from '../../src/cli/operator/run.ts';
import { systemClock } from '../../src/kube/clock.ts';

const [, , first = '0', ...options] = process.argv;
let offsetMs = Number(first);
process.on('message', (message) => {
  offsetMs = Number(message);
});
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
try {
  const clock = { ...systemClock, now: () => Date.now() + offsetMs };
  await runOperator(parseArguments(['node', 'operator', ...options], process.env), stop.signal, clock);
  process.exit(0);
} catch (error) {
  console.error(String(error));
  process.exit(1);
}
