/** The Events that say why a run does not start. */

import type { ObjectMeta } from '../../api/metadata.ts';
import { type ConditionReason, quoteReason } from '../../api/reasons.ts';
import type { ResourceClient } from '../../kube/resources.ts';

/** The parts of an Event (events.k8s.io/v1) that the operator reads. */
export interface WarningEvent {
  metadata: ObjectMeta;
  reason?: string;
  note?: string;
  eventTime?: string | null;
  series?: { lastObservedTime?: string };
  deprecatedLastTimestamp?: string | null;
}

export interface Cause {
  reason: ConditionReason;
  message: string;
}

/** Components of Kubernetes write one of three times, according to their age. */
function lastSeen({ metadata, eventTime, series, deprecatedLastTimestamp }: WarningEvent): number {
  return Date.parse(
    series?.lastObservedTime ?? deprecatedLastTimestamp ?? eventTime ?? metadata.creationTimestamp,
  );
}

/** What the newest of these Events says. */
export function causeOf(events: readonly WarningEvent[]): Cause | undefined {
  const newest = events.toSorted((a, b) => lastSeen(b) - lastSeen(a))[0];
  if (!newest) return undefined;
  return { reason: quoteReason(newest.reason, 'PodStarting'), message: (newest.note ?? '').slice(0, 2048) };
}

/**
 * The newest Warning about any of these objects.
 * @param except Reasons of Warnings that say nothing new.
 * @returns Undefined: none, or its Events have expired.
 */
export async function newestWarning(
  objects: readonly { metadata: ObjectMeta }[],
  events: ResourceClient<WarningEvent>,
  except: ReadonlySet<string> = new Set(),
): Promise<Cause | undefined> {
  const lists = await Promise.all(
    objects.map(({ metadata: { namespace, uid } }) =>
      events.list(namespace, { fieldSelector: `regarding.uid=${uid},type=Warning` }),
    ),
  );
  return causeOf(lists.flatMap(({ items }) => items).filter(({ reason = '' }) => !except.has(reason)));
}
