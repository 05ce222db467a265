import type { Summary } from '../manifest.ts';

/** The summary of an archive without members, but for what is given. */
export const summaryWith = (fields: Partial<Summary> = {}): Summary => ({
  format: 1,
  archive: 'km-backup-20260101T000000Z.tgz',
  series: null,
  startedAt: '2026-01-01T00:00:00.000Z',
  finishedAt: '2026-01-01T00:00:01.000Z',
  compression: 'gzip',
  level: 1,
  packing: 'x',
  sizeBytes: 0,
  sha256: '0'.repeat(64),
  members: 0,
  entries: 0,
  files: 0,
  sourceBytes: 0,
  reusedBytes: 0,
  socketsSkipped: 0,
  excluded: 0,
  warnings: { count: 0, samples: [] },
  ...fields,
});
