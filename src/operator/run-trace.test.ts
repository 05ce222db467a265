import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KmBackup, KmBackupStatus } from '../api/backup.ts';
import { RunTraces, spansOf } from './run-trace.ts';

const at = (time: string) => `2026-11-26T${time}Z`;
const ms = (time: string) => Date.parse(at(time));

const run = (
  status: KmBackupStatus | undefined,
  scheduledTime: string | undefined = at('03:00:00'),
): KmBackup => ({
  apiVersion: 'km.duskmantle.io/v1alpha1',
  kind: 'KmBackup',
  metadata: {
    name: 'nightly-1',
    namespace: 'shop',
    uid: 'u-1',
    resourceVersion: '1',
    creationTimestamp: at('03:00:01'),
  },
  spec: { scheduleName: 'nightly', ...(scheduledTime !== undefined && { scheduledTime }) },
  ...(status && { status }),
});

const finished: KmBackupStatus = {
  phase: 'Succeeded',
  job: { name: 'nightly-1-job', uid: 'j' },
  startTime: at('03:00:05'),
  completionTime: at('03:01:00'),
  durationSeconds: 40,
  archive: { name: 'km-backup-1.tgz', claimName: 'c', path: 'p', sizeBytes: 99 },
};

describe('the trace of a run', () => {
  it('follows it from its scheduled time to its copies', () => {
    const spans = spansOf(
      run({
        ...finished,
        copies: [
          { location: 'bucket', phase: 'Copied', time: at('03:05:00'), uploadedBytes: 7 },
          { location: 'other', phase: 'Copying' },
        ],
      }),
    );
    const named = Object.fromEntries(spans.map((span) => [span.name, span]));
    expect(spans.map(({ name, startMs, endMs }) => [name, startMs, endMs])).toEqual([
      ['run', ms('03:00:00'), ms('03:01:00')],
      ['wait', ms('03:00:00'), ms('03:00:05')],
      ['job', ms('03:00:05'), ms('03:01:00')],
      ['archive', ms('03:00:20'), ms('03:01:00')],
      ['copy', ms('03:01:00'), ms('03:05:00')],
    ]);
    expect(named['archive']!.parentSpanId).toBe(named['job']!.spanId);
    for (const name of ['wait', 'job', 'copy']) expect(named[name]!.parentSpanId).toBe(named['run']!.spanId);
    for (const span of spans) {
      expect(span.traceId).toMatch(/^[0-9a-f]{32}$/);
      expect(span.spanId).toMatch(/^[0-9a-f]{16}$/);
      expect(span.attributes).toMatchObject({ 'km.run.id': 'nightly-1', 'km.schedule': 'nightly' });
      expect(span.error).toBeUndefined();
    }
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect(named['copy']!.attributes).toMatchObject({ 'km.location': 'bucket', 'km.copy.uploaded': 7 });
  });

  it.each<[string, KmBackupStatus | undefined]>([
    ['that has not begun', undefined],
    ['under way', { phase: 'Running', startTime: at('03:00:05') }],
    ['that was only found', { ...finished, phase: 'Found' }],
  ])('is empty for a run %s', (_, status) => {
    expect(spansOf(run(status))).toEqual([]);
  });

  it('says what failed, and where', () => {
    const { archive: _, durationSeconds: __, ...rest } = finished;
    const spans = spansOf(run({ ...rest, phase: 'Failed', message: 'no space' }));
    expect(spans.map(({ name, error }) => [name, error])).toEqual([
      ['run', 'no space'],
      ['wait', undefined],
      ['job', 'no space'],
    ]);
  });

  it('a run by hand begins with its creation', () => {
    expect(spansOf({ ...run(finished), spec: { scheduleName: 'nightly' } })[0]).toMatchObject({
      startMs: ms('03:00:01'),
      attributes: { 'km.scheduled': false },
    });
  });

  it('no span ends before it begins, whatever the times are', () => {
    const time = fc
      .integer({ min: 0, max: 86_399 })
      .map((s) => new Date(s * 1000).toISOString().replace('.000', ''));
    fc.assert(
      fc.property(
        time,
        time,
        time,
        time,
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (due, start, end, copied, seconds) => {
          const spans = spansOf(
            run(
              {
                ...finished,
                startTime: start,
                completionTime: end,
                durationSeconds: seconds,
                copies: [{ location: 'l', phase: 'Copied', time: copied }],
              },
              due,
            ),
          );
          for (const { startMs, endMs } of spans) expect(endMs).toBeGreaterThanOrEqual(startMs);
          expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(5);
        },
      ),
    );
  });
});

describe('what is new of a trace', () => {
  it('each span once, also when copies come later', () => {
    const traces = new RunTraces();
    const names = (status: KmBackupStatus) =>
      traces.next(run(status), ms('03:00:30')).map(({ name }) => name);
    expect(names({ phase: 'Running' })).toEqual([]);
    // Nothing that ended earlier than asked for.
    expect(names(finished)).toEqual(['run', 'job', 'archive']);
    expect(names(finished)).toEqual([]);
    const copied = {
      ...finished,
      copies: [{ location: 'l', phase: 'Copied' as const, time: at('03:02:00') }],
    };
    expect(names(copied)).toEqual(['copy']);
    traces.forget(run(copied));
    expect(names(copied)).toHaveLength(4);
    expect(new RunTraces().next(run(finished), ms('03:01:01'))).toEqual([]);
  });

  it('two leaders send the same ids', () => {
    const ids = () =>
      new RunTraces().next(run(finished), 0).map(({ traceId, spanId }) => `${traceId} ${spanId}`);
    expect(ids()).toEqual(ids());
  });
});
