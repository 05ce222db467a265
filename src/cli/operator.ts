import { setFlagsFromString } from 'node:v8';
import { parseArguments } from './operator/arguments.ts';

// Most of the heap is the cache of watched objects. V8 would let the heap double before it collects garbage.
setFlagsFromString('--heap-growing-percent=30');
// V8 would allocate all later objects of the list parser as long-lived too, because those of the first lists were.
setFlagsFromString('--no-allocation-site-pretenuring');

const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort(signal));

try {
  // Both are imported here so that --help and a wrong flag are answered at once.
  if (process.argv[2] === 'crds') {
    const { runCrds } = await import('./operator/crds.ts');
    await runCrds(process.argv.slice(3), stop.signal);
  } else {
    const options = parseArguments(process.argv, process.env);
    const { runOperator } = await import('./operator/run.ts');
    await runOperator(options, stop.signal);
  }
  process.exit(0);
} catch (error) {
  console.error(describe(error));
  process.exit(1);
}

/** The message of a foreseeable error, or the stack trace of any other. */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const foreseen =
    [
      'LeadershipLostError',
      'KubeConfigError',
      'KubeError',
      'CertificateError',
      'TraceSettingsError',
    ].includes(error.name) || 'code' in error;
  return foreseen ? `km-backup-operator: ${error.message}` : (error.stack ?? error.message);
}
