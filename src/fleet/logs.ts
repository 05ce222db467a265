import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { Cluster, Place } from './cluster.ts';

/** The container that runs km-backup, in every pod of the operator. */
export const CONTAINER = 'km-backup';

export interface LogOptions {
  readonly tailLines?: number | undefined;
  readonly follow?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The lines of a pod's log, as they come. */
export async function* logLines(
  { client }: Cluster,
  pod: Place,
  options: LogOptions = {},
): AsyncGenerator<string> {
  const { tailLines, follow, signal } = options;
  const body = await client.stream({
    method: 'GET',
    path: `/api/v1/namespaces/${encodeURIComponent(pod.namespace)}/pods/${encodeURIComponent(pod.name)}/log`,
    query: { container: CONTAINER, tailLines, follow },
    signal,
  });
  yield* createInterface({
    input: Readable.from(body, { objectMode: false }),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
}

/** All lines at once. */
export async function logOf(cluster: Cluster, pod: Place, options: LogOptions = {}): Promise<string[]> {
  return Array.fromAsync(logLines(cluster, pod, options));
}
