import { isDeepStrictEqual } from 'node:util';
import { sleep } from '../clock/index.ts';
import type { KubeObject } from '../kube/object.ts';
import type { ResourceClient } from '../kube/resources.ts';
import type { Cluster, Place, Waiting } from './cluster.ts';
import { FleetError, unlessMissing } from './errors.ts';

/** Asked this often: a watch would need a right that a person may lack. */
const POLL_MS = 1_000;

/**
 * Resolves with the object once `holds`.
 * @throws {FleetError} Interrupted when the signal aborts; NotFound when the object is deleted meanwhile.
 */
export async function until<T extends KubeObject>(
  { clock }: Cluster,
  resource: ResourceClient<T>,
  { namespace, name }: Place,
  holds: (object: T) => boolean,
  { signal, onChange }: Waiting<T> = {},
): Promise<T> {
  let before: T | undefined;
  for (;;) {
    if (signal?.aborted) throw interrupted(signal);
    const now = await unlessMissing(resource.get(namespace, name));
    if (!now) {
      throw new FleetError(
        'NotFound',
        `${resource.descriptor.kind} ${name} in namespace ${namespace} was deleted meanwhile.`,
      );
    }
    if (!isDeepStrictEqual(before, now)) onChange?.(now);
    before = now;
    if (holds(now)) return now;
    await sleep(clock, POLL_MS, signal);
  }
}

export function interrupted({ reason }: AbortSignal): Error {
  return reason instanceof FleetError ? reason : new FleetError('Interrupted', 'Interrupted.');
}
