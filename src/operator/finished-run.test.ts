import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupPhase, type KmBackup } from '../api/backup.ts';
import { isFinished } from '../api/finished.ts';
import { ANNOTATIONS, API_VERSION, LABELS } from '../api/names.ts';
import { finishedRunPacking } from './finished-run.ts';

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const whole = fc.nat();
const names = fc.array(text, { maxLength: 4 });
/** Some of the fields, none of them undefined. */
const some = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { requiredKeys: [] });

/** What a decision may read of a run that is over. */
const finished = fc
  .record({
    metadata: fc
      .record({ name: text, namespace: text, uid: text, resourceVersion: text, creationTimestamp: text })
      .chain((metadata) =>
        some({
          deletionTimestamp: text,
          labels: fc.record({ [LABELS.scheduleUid]: text }),
          annotations: fc.record({ [ANNOTATIONS.approved]: text }),
        }).map((more) => ({
          ...metadata,
          ...more,
        })),
      ),
    spec: fc.record(
      { scheduleName: text, scheduledTime: text, archiveName: text },
      { requiredKeys: ['scheduleName'] },
    ),
    status: fc.record(
      {
        phase: fc
          .constantFrom(...BackupPhase.options)
          .filter((phase) => isFinished({ status: { phase } } as KmBackup)),
        message: text,
        completionTime: text,
        durationSeconds: fc.double({ noNaN: true, noDefaultInfinity: true, min: 0 }),
        warnings: fc.record({ count: whole }),
        archive: fc.record(
          {
            name: text,
            claimName: text,
            path: text,
            sizeBytes: whole,
            sha256: text,
            sourceBytes: whole,
            reusedBytes: whole,
          },
          { requiredKeys: ['name', 'claimName', 'path'] },
        ),
        suspicious: fc.record({ message: text }),
        pruned: fc.record({ count: whole, failed: whole, names }),
        present: fc.record(
          { count: whole, bytes: whole, names, classes: text, suspicious: names },
          { requiredKeys: ['count', 'bytes', 'names'] },
        ),
      },
      { requiredKeys: ['phase'] },
    ),
  })
  .map((backup) => ({ apiVersion: API_VERSION, kind: 'KmBackup', ...backup }) as unknown as KmBackup);

describe('finishedRunPacking', () => {
  it('gives back what is read of a run that is over', () => {
    fc.assert(
      fc.property(finished, (backup) => {
        const packed = finishedRunPacking.pack(backup);
        expect(typeof packed).toBe('string');
        expect(finishedRunPacking.unpack(packed as string)).toEqual(backup);
      }),
    );
  });

  it('leaves a run that is not over as it is', () => {
    fc.assert(
      fc.property(finished, fc.constantFrom('Pending', 'Running', undefined), (backup, phase) => {
        const { phase: _, ...status } = backup.status!;
        const active: KmBackup = { ...backup, status: { ...status, ...(phase && { phase }) } };
        expect(finishedRunPacking.pack(active)).toBe(active);
      }),
    );
  });
});
