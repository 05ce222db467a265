import { describe, expect, test } from 'vitest';
import { describeSchedule, parseEnvironment, parseListen, type Settings, scheduleOf } from './environment.ts';
import type { Environment } from './variables.ts';

function settings(env: Environment): Settings {
  const parsed = parseEnvironment(env);
  if (!parsed.ok) throw new Error(parsed.problems.join('; '));
  return parsed.settings;
}

const on = { KM_BACKUP_ENABLED: 'true', KM_STATE_PATH: '/opt/knowledge/var' };

test('the defaults of the playbook', () => {
  expect(settings({ KM_STATE_PATH: '/opt/knowledge/var' })).toEqual({
    enabled: false,
    source: '/opt/knowledge/var',
    destination: '/opt/knowledge/var/backups/archives',
    script: undefined,
    retentionLimit: 7,
    allowEmpty: false,
    cron: undefined,
    intervalMinutes: 720,
    listen: { host: '127.0.0.1', port: 8000 },
    page: true,
    copies: undefined,
  });
});

describe('single variables', () => {
  test.each<[Environment, Partial<Settings>]>([
    [{ KM_BACKUP_ENABLED: 'TRUE' }, { enabled: true }],
    [{ KM_BACKUP_ENABLED: '1' }, { enabled: true }],
    [{ KM_BACKUP_ENABLED: 'off' }, { enabled: false }],
    [{ KM_BACKUP_ENABLED: '' }, { enabled: false }],
    [{ KM_BACKUP_INTERVAL_MINUTES: '5' }, { intervalMinutes: 5 }],
    [{ KM_BACKUP_INTERVAL_MINUTES: '0' }, { intervalMinutes: 1 }],
    [{ KM_BACKUP_INTERVAL_MINUTES: '-30' }, { intervalMinutes: 1 }],
    [{ KM_BACKUP_INTERVAL_MINUTES: ' ' }, { intervalMinutes: 720 }],
    [{ KM_BACKUP_RETENTION_LIMIT: '0' }, { retentionLimit: 0 }],
    [{ KM_BACKUP_RETENTION_LIMIT: '-1' }, { retentionLimit: -1 }],
    [{ KM_BACKUP_DEST_PATH: '/backups' }, { destination: '/backups' }],
    [{ KM_BACKUP_DEST: '/backups' }, { destination: '/backups' }],
    [{ KM_BACKUP_DEST: '/a', KM_BACKUP_DEST_PATH: '/b' }, { destination: '/a' }],
    [{ KM_BACKUP_DEST: ' ', KM_BACKUP_DEST_PATH: '/b' }, { destination: '/b' }],
    [{ KM_BACKUP_SOURCE: '/data' }, { source: '/data', destination: '/data/backups/archives' }],
    [{ KM_BACKUP_SOURCE: '' }, { source: '/opt/knowledge/var' }],
    [{ KM_BACKUP_ALLOW_EMPTY: 'yes' }, { allowEmpty: true }],
    [{ KM_BACKUP_SCRIPT: '/opt/script' }, { script: '/opt/script' }],
    [{ KM_BACKUP_CRON: '' }, { cron: undefined }],
    [{ KM_BACKUP_LISTEN: '0.0.0.0:9' }, { listen: { host: '0.0.0.0', port: 9 }, page: false }],
    [{ KM_BACKUP_LISTEN: '[::1]:9' }, { listen: { host: '::1', port: 9 }, page: true }],
    [{ KM_BACKUP_LISTEN: '0.0.0.0:9', KM_BACKUP_PAGE: 'true' }, { page: true }],
    [{ KM_BACKUP_PAGE: 'false' }, { page: false }],
  ])('%j', (env, expected) => {
    expect(settings({ ...on, ...env })).toMatchObject(expected);
  });

  test('cron is in UTC and takes precedence over the interval', () => {
    const both = settings({ ...on, KM_BACKUP_CRON: '15 3 * * *', KM_BACKUP_INTERVAL_MINUTES: '5' });
    expect(scheduleOf(both, 0)).toMatchObject({ expression: '15 3 * * *', timeZone: 'Etc/UTC' });
    expect(describeSchedule(both)).toBe('cron 15 3 * * *');
  });
});

describe('copies', () => {
  const to = { ...on, KM_BACKUP_COPY_TO: 's3://bucket/prefix' };
  test.each<[Environment, Settings['copies']]>([
    [
      { KM_BACKUP_COPY_RECIPIENTS: 'age1abc, age1def' },
      { to: 's3://bucket/prefix', recipients: ['age1abc', 'age1def'], retentionLimit: 7, pathStyle: false },
    ],
    [
      {
        KM_BACKUP_COPY_RECIPIENTS: 'none',
        KM_BACKUP_RETENTION_LIMIT: '3',
        KM_BACKUP_COPY_PATH_STYLE: 'true',
      },
      { to: 's3://bucket/prefix', recipients: [], retentionLimit: 3, pathStyle: true },
    ],
    [
      {
        KM_BACKUP_COPY_TO: 'dir:/mnt',
        KM_BACKUP_COPY_RECIPIENTS: 'none',
        KM_BACKUP_COPY_RETENTION_LIMIT: '30',
      },
      { to: 'dir:/mnt', recipients: [], retentionLimit: 30, pathStyle: false },
    ],
  ])('%j', (env, expected) => {
    expect(settings({ ...to, ...env }).copies).toEqual(expected);
  });

  test.each<[Environment, RegExp]>([
    [{}, /COPY_RECIPIENTS.*must be age public keys/],
    [{ KM_BACKUP_COPY_RECIPIENTS: 'AGE-SECRET-KEY-1X' }, /COPY_RECIPIENTS.*must be age public keys/],
    [{ KM_BACKUP_COPY_RECIPIENTS: 'age1a none' }, /COPY_RECIPIENTS/],
    [{ KM_BACKUP_COPY_RECIPIENTS: 'none', KM_BACKUP_COPY_TO: '/mnt' }, /COPY_TO.*must be s3:/],
    [{ KM_BACKUP_COPY_RECIPIENTS: 'none', KM_BACKUP_SCRIPT: '/x' }, /COPY_TO.*built-in program/],
    [{ KM_BACKUP_COPY_RECIPIENTS: 'none', KM_BACKUP_COPY_TO: '' }, /COPY_RECIPIENTS.*no effect/],
  ])('%j is refused', (env, message) => {
    const parsed = parseEnvironment({ ...to, ...env });
    expect(parsed).toMatchObject({ ok: false, problems: [expect.stringMatching(message)] });
  });
});

test('every bad variable is named', () => {
  const parsed = parseEnvironment({
    KM_BACKUP_ENABLED: 'maybe',
    KM_BACKUP_INTERVAL_MINUTES: 'soon',
    KM_BACKUP_CRON: '0 0 3 * * *',
    KM_BACKUP_RETENTION_LIMIT: '1.5',
    KM_BACKUP_LISTEN: 'localhost',
    KM_BACKUP_ALLOW_EMPTY: 'sometimes',
  });
  const problems = parsed.ok ? [] : parsed.problems;
  for (const name of ['ENABLED', 'INTERVAL_MINUTES', 'CRON', 'RETENTION_LIMIT', 'LISTEN', 'ALLOW_EMPTY'])
    expect(problems.filter((problem) => problem.startsWith(`KM_BACKUP_${name}`))).toHaveLength(1);
  expect(problems).toHaveLength(6);
});

test('the source is needed to start backups only', () => {
  expect(parseEnvironment({ KM_BACKUP_ENABLED: 'true' })).toEqual({
    ok: false,
    problems: ['KM_BACKUP_SOURCE or KM_STATE_PATH must name the directory to back up'],
  });
  expect(parseEnvironment({})).toMatchObject({ ok: true });
});

test.each([
  ['8000', { host: '127.0.0.1', port: 8000 }],
  [':0', { host: '127.0.0.1', port: 0 }],
  ['localhost:80', { host: 'localhost', port: 80 }],
  ['[::1]:80', { host: '::1', port: 80 }],
  ['::1', undefined],
  ['a:65536', undefined],
  ['a:b', undefined],
  ['', undefined],
])('listen on %j', (value, expected) => {
  expect(parseListen(value)).toEqual(expected);
});
