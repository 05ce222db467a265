import { parseArguments } from './operator/arguments.ts';
import { runOperator } from './operator/run.ts';

const options = parseArguments(process.argv, process.env);
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(signal));

try {
  await runOperator(options, stop.signal);
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  process.exit(1);
}
