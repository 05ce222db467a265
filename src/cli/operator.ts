import { setFlagsFromString } from 'node:v8';
import { parseArguments } from './operator/arguments.ts';

// A heap full of what is watched is to hold little garbage besides: by itself V8 lets it double.
setFlagsFromString('--heap-growing-percent=30');
// That the objects of the first lists live long says nothing of those made later by the same code.
setFlagsFromString('--no-allocation-site-pretenuring');

const options = parseArguments(process.argv, process.env);
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(signal));

try {
  // Loaded only now, so that --help and a mistaken flag are answered at once.
  const { runOperator } = await import('./operator/run.ts');
  await runOperator(options, stop.signal);
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exit(1);
}
