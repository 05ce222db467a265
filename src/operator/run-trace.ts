/**
 * The trace of a run, from its scheduled time to its copies, made from the KmBackup alone. Ids follow from its UID: a new
 * leader, or a restart, sends the same spans again rather than others. Pure.
 */

import { createHash } from 'node:crypto';
import type { KmBackup } from '../api/backup.ts';
import { isFinished } from '../api/finished.ts';
import type { Span } from '../trace/index.ts';
import { fromTime, toTime } from './time.ts';

const digest = (text: string, length: number) =>
  createHash('sha256').update(text).digest('hex').slice(0, length);

/** Every span of the run that has ended: none before the run has, more when copies are confirmed. */
export function spansOf({ metadata, spec, status = {} }: KmBackup): Span[] {
  const { phase, startTime, completionTime, archive, job } = status;
  if (!isFinished({ status }) || phase === 'Found' || completionTime === undefined) return [];
  const traceId = digest(metadata.uid, 32);
  const idOf = (span: string) => digest(`${metadata.uid}/${span}`, 16);
  const root = idOf('run');
  const common = {
    'km.run.id': metadata.name,
    'km.schedule': spec.scheduleName,
    'k8s.namespace.name': metadata.namespace,
  };
  const endMs = fromTime(completionTime);
  // Times are whole seconds: none may end before it began.
  const until = (ms: number) => Math.min(ms, endMs);
  const dueMs = until(fromTime(spec.scheduledTime ?? metadata.creationTimestamp));
  const startMs = startTime === undefined ? endMs : Math.max(dueMs, until(fromTime(startTime)));
  const failed = phase === 'Failed' ? (status.message ?? status.reason ?? 'failed') : undefined;
  const error = failed === undefined ? {} : { error: failed };
  const child = (
    name: string,
    parent: string,
    span: Pick<Span, 'startMs' | 'endMs'>,
    attributes = {},
  ): Span => ({
    traceId,
    spanId: idOf(name),
    parentSpanId: parent,
    name,
    attributes: { ...common, ...attributes },
    ...span,
  });
  const spans: Span[] = [
    {
      traceId,
      spanId: root,
      name: 'run',
      startMs: dueMs,
      endMs,
      attributes: {
        ...common,
        'km.scheduled': spec.scheduledTime !== undefined,
        'km.phase': phase,
        'km.reason': status.reason,
      },
      ...error,
    },
    child('wait', root, { startMs: dueMs, endMs: startMs }),
  ];
  if (job && startTime !== undefined) {
    spans.push({ ...child('job', root, { startMs, endMs }, { 'k8s.job.name': job.name }), ...error });
    if (status.durationSeconds !== undefined) {
      const beganMs = Math.max(startMs, endMs - status.durationSeconds * 1000);
      spans.push({
        ...child(
          'archive',
          idOf('job'),
          { startMs: beganMs, endMs },
          {
            'km.archive.name': archive?.name,
            'km.archive.size': archive?.sizeBytes,
            'km.archive.reused': archive?.reusedBytes,
            'km.archive.files': archive?.files,
          },
        ),
        ...error,
      });
    }
  }
  for (const copy of status.copies ?? []) {
    if (copy.phase !== 'Copied' || copy.time === undefined) continue;
    const span = { startMs: endMs, endMs: Math.max(endMs, fromTime(copy.time)) };
    spans.push({
      ...child('copy', root, span, {
        'km.location': copy.location,
        'km.copy.uploaded': copy.uploadedBytes,
        'km.copy.reused': copy.reusedBytes,
      }),
      spanId: idOf(`copy/${copy.location}`),
    });
  }
  return spans;
}

/** When the run, or its last copy, ended. */
function latest({ completionTime = '', copies = [] }: NonNullable<KmBackup['status']>): string {
  return copies.reduce((last, { time = '' }) => (time > last ? time : last), completionTime);
}

/** Which spans are new. */
export class RunTraces {
  readonly #known = new Map<string, Set<string>>();

  /** @param sinceMs Spans that ended before are not of interest; epoch milliseconds. */
  next(backup: KmBackup, sinceMs: number): Span[] {
    const { uid } = backup.metadata;
    // At the start there may be ten thousand old runs.
    if (!isFinished(backup) || latest(backup.status ?? {}) < toTime(sinceMs)) return [];
    const known = this.#known.get(uid) ?? new Set();
    const spans = spansOf(backup).filter(({ spanId, endMs }) => endMs >= sinceMs && !known.has(spanId));
    if (spans.length > 0) this.#known.set(uid, known);
    for (const { spanId } of spans) known.add(spanId);
    return spans;
  }

  /** The run was deleted. */
  forget({ metadata }: KmBackup): void {
    this.#known.delete(metadata.uid);
  }
}
