/** A worker thread that dies of its job, in the way that the job names. */
import { parentPort } from 'node:worker_threads';

const deaths: Record<string, () => unknown> = {
  exit: () => process.exit(3),
  throw: () => {
    throw new TypeError('a fault');
  },
  memory: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(new Array(1000).fill(kept.length).map(String));
  },
};

parentPort!.on('message', ({ id, kind, input }: { id: number; kind: string; input: { how: string } }) => {
  const die = deaths[input.how ?? 'exit'] ?? deaths['exit']!;
  if (kind === 'echo') parentPort!.postMessage({ id, result: input });
  else die();
});
