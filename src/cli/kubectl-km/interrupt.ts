import { FleetError } from '../../fleet/errors.ts';

/** Ends waits by SIGINT and SIGTERM. A second signal ends the process at once. */
export function untilInterrupted(): { signal: AbortSignal; stop: () => void } {
  const controller = new AbortController();
  const stop = () => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.removeListener(name, end);
  };
  const end = () => {
    controller.abort(new FleetError('Interrupted', 'Interrupted.'));
    stop();
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, end);
  return { signal: controller.signal, stop };
}
