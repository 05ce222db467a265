import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KmBackupScheduleSpec } from './backup-schedule.ts';
import { KmBackupLocationSpec } from './location.ts';
import { KmRestoreSpec } from './restore.ts';
import { whole } from './whole.ts';

const metadata = { name: 'notes', namespace: 'team' };
const source = { persistentVolumeClaim: { claimName: 'state' } };

describe('what is missing gets the default of the schema', () => {
  test.each<[string, string, { parse(value: unknown): unknown }, object]>([
    ['a schedule', 'KmBackupSchedule', KmBackupScheduleSpec, { source }],
    [
      'with copies and drills',
      'KmBackupSchedule',
      KmBackupScheduleSpec,
      {
        source,
        copies: [{ locationRef: { name: 'bucket' }, retention: {} }],
        drill: { scratch: { size: '1Gi' } },
      },
    ],
    ['a restore', 'KmRestore', KmRestoreSpec, { source: { scheduleName: 'notes' }, target: source }],
    [
      'a location',
      'KmBackupLocation',
      KmBackupLocationSpec,
      { s3: { bucket: 'backups' }, encryption: { none: true } },
    ],
  ])('%s', (_, kind, schema, spec) => {
    expect(whole(kind, { metadata, spec })).toEqual({ metadata, spec: schema.parse(spec) });
  });

  test('what must be there is there, if empty', () => {
    const { spec } = whole('KmBackupSchedule', { metadata }) as unknown as { spec: KmBackupScheduleSpec };
    expect(spec.source.persistentVolumeClaim.claimName).toBe('');
    expect(spec.destination.path).toBe('backups/archives');
  });
});

test('an object without a fault is the same object', () => {
  const object = {
    metadata,
    spec: KmBackupScheduleSpec.parse({ source }),
    status: {
      conditions: [{ type: 'Ready', status: 'True', reason: 'r', message: 'm', lastTransitionTime: 't' }],
    },
  };
  expect(whole('KmBackupSchedule', object)).toBe(object);
});

test.each<[string, object, object]>([
  ['null', { conditions: null, archives: null }, {}],
  ['null in a list', { conditions: [null, 'x'] }, { conditions: [] }],
  [
    'another type',
    { archives: [], schedule: 5, runs: { failed: '3', skipped: 1 } },
    { runs: { skipped: 1 } },
  ],
  ['fields of a later version', { later: { deep: [null] } }, { later: { deep: [null] } }],
  ['nothing is added to a status', { copies: [{}] }, { copies: [{}] }],
])('a status with %s', (_, status, expected) => {
  const object = { metadata, spec: KmBackupScheduleSpec.parse({ source }), status };
  expect(whole('KmBackupSchedule', object)).toMatchObject({ status: expected });
  expect(Object.keys((whole('KmBackupSchedule', object) as { status: object }).status)).toEqual(
    Object.keys(expected),
  );
});

test('kinds of others stay as they are', () => {
  const object = { spec: null };
  expect([whole('Pod', object), whole('constructor', object)]).toEqual([object, object]);
});

test('whatever stands in it: the second time there is nothing to mend, and the original is not changed', () => {
  const kinds = fc.constantFrom('KmBackupSchedule', 'KmBackup', 'KmRestore', 'KmBackupLocation');
  const json = fc.jsonValue({ maxDepth: 4 });
  const spec = fc.record(
    {
      source: json,
      destination: json,
      target: json,
      copies: json,
      drill: json,
      scheduleName: json,
      cron: json,
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(kinds, fc.oneof(json, spec), json, (kind, someSpec, status) => {
      const object = { metadata, spec: someSpec, status };
      const before = structuredClone(object);
      const once = whole(kind, object);
      expect(object).toEqual(before);
      expect(whole(kind, once)).toBe(once);
    }),
  );
});
