import { expect, test } from 'vitest';
import { formatName, isManagedName, isOwnName, temporaryName, timeOfName } from './names.ts';

test.each([
  ['km-backup-20240201T120000Z.tgz', true],
  ['km-backup-.tgz', true],
  ['KM-BACKUP-x.TAR.GZ', true],
  ['km-backup-20240201T120000Z.tar.zst', true],
  ['km-backup-x.tgz.manifest', false],
  ['backup-20240201T120000Z.tgz', false],
  ['.km-backup-x.tgz', false],
  ['km-backup-x.tgz.tmp', false],
])('%s managed: %s', (name, managed) => expect(isManagedName(name)).toBe(managed));

test('what is being written never looks managed', () => {
  expect(isManagedName(temporaryName('km-backup-1.tgz'))).toBe(false);
  expect(isOwnName(temporaryName('1'))).toBe(true);
});

test.each([
  '.km-backup-serve.json',
  '.km-backup-serve.json.new',
  '.km-backup-serve.lock',
  '.km-backup-serve-run.lock',
  '.km-backup-serve-result.json',
  '.km-backup-script.lock',
])('%s is our own', (name) => expect(isOwnName(name)).toBe(true));

test.each([
  ['km-backup-20240201T120000Z.tgz', '2024-02-01T12:00:00.000Z'],
  ['km-backup-20240201T120000.tar.gz', '2024-02-01T12:00:00.000Z'],
  ['km-backup-20240231T120000Z.tgz', undefined],
  ['km-backup-20240201T250000Z.tgz', undefined],
  ['km-backup-x.tgz', undefined],
])('%s has the time %s', (name, time) => expect(timeOfName(name)?.toISOString()).toBe(time));

test('format and parse agree', () => {
  const at = new Date('2026-11-23T00:00:59.999Z');
  expect(formatName(at, 'zstd')).toBe('km-backup-20261123T000059Z.tar.zst');
  expect(timeOfName(formatName(at, 'gzip'))).toEqual(new Date('2026-11-23T00:00:59Z'));
});
