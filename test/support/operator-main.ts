/**
 * The operator with its clock moved: `operator-main.ts OFFSET_MS [OPTION…]`. A test can start right after a scheduled
 * time instead of waiting for it.
 */
import { flushCompileCache } from 'node:module';
import { parseArguments } from '../../src/cli/operator/arguments.ts';
import { runOperator } from '../../src/cli/operator/run.ts';
import { systemClock } from '../../src/clock/index.ts';

// A killed process would not write its compile cache by itself.
flushCompileCache();
const [, , offset = '0', ...options] = process.argv;
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
try {
  const clock = { ...systemClock, now: () => Date.now() + Number(offset) };
  await runOperator(parseArguments(['node', 'operator', ...options], process.env), stop.signal, clock);
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
