import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { KmBackupScheduleSpec } from '../../api/backup-schedule.ts';
import { type CronJob, retentionOf, scheduleFromCronJob, tarCall } from './import-cron-job.ts';
import { parseEnv, scheduleFromEnv } from './import-env.ts';
import { shellWords } from './shell-words.ts';

describe('variables', () => {
  it('are read as shells and Docker write them', () => {
    const { env, ignored } = parseEnv(
      [
        '# a comment',
        'export KM_BACKUP_CRON="0 2 * * *"  # nightly',
        "KM_STATE_PATH='/data/my state'",
        'KM_BACKUP_RETENTION_LIMIT = 14 # two weeks',
        'EMPTY=',
        'QUOTED="a \\"b\\" $c"',
        'not a variable',
      ].join('\r\n'),
    );
    expect(env).toEqual({
      KM_BACKUP_CRON: '0 2 * * *',
      KM_STATE_PATH: '/data/my state',
      KM_BACKUP_RETENTION_LIMIT: '14',
      EMPTY: '',
      QUOTED: 'a "b" $c',
    });
    expect(ignored).toEqual(['not a variable']);
  });

  it.each<[string, object, string, string[]]>([
    [
      'all that a schedule can say',
      { claim: 'data' },
      'KM_BACKUP_ENABLED=true\nKM_BACKUP_SOURCE=/data\nKM_BACKUP_DEST=/data/old/archives\nKM_BACKUP_CRON=H 4 * * *\nKM_BACKUP_RETENTION_LIMIT=14\nKM_BACKUP_ALLOW_EMPTY=true',
      [],
    ],
    ['nothing but the source', { claim: 'data' }, 'KM_STATE_PATH=/data', []],
    [
      'no claim',
      {},
      'KM_BACKUP_SOURCE=/data',
      ['The source is the folder /data; a schedule names a claim. Replace CLAIM, or pass --claim.'],
    ],
    [
      'archives elsewhere, a copy and a script',
      { claim: 'data' },
      'KM_BACKUP_SOURCE=/data\nKM_BACKUP_DEST=/mnt/backups\nKM_BACKUP_COPY_TO=s3://b/p\nKM_BACKUP_SCRIPT=/x.sh\nKM_OTHER=1\nKM_BACKUP_INTERVAL_MINUTES=often',
      [
        'is not a whole number',
        'KM_BACKUP_COPY_TO is left out',
        'KM_BACKUP_SCRIPT is left out',
        'KM_OTHER is not a variable',
        'outside the source',
      ],
    ],
  ])('%s', (_, options, text, said) => {
    const { spec, untranslated } = scheduleFromEnv(text, options);
    expect(untranslated).toHaveLength(said.length);
    for (const words of said) expect(untranslated.join('\n')).toContain(words);
    // What is printed is a valid schedule.
    const valid = KmBackupScheduleSpec.parse(spec);
    if (text.includes('CRON')) {
      expect(valid).toMatchObject({
        suspend: false,
        cron: 'H 4 * * *',
        source: { persistentVolumeClaim: { claimName: 'data' }, allowEmpty: true },
        destination: { path: 'old/archives' },
        retention: { limit: 14 },
      });
    }
  });
});

describe('the words of a script', () => {
  it.each([
    ["tar -czf '/a b' /c # comment", [['tar', '-czf', '/a b', '/c']]],
    ['a && b;c|d\ne', [['a'], ['b'], ['c'], ['d'], ['e']]],
    ['tar \\\n  -c .', [['tar', '-c', '.']]],
    ['x "a \\"b\\" \\$c"', [['x', 'a "b" $c']]],
    ['a x-$(date +%F -d "1 day").tgz `d e` f', [['a', 'x-$(date +%F -d "1 day").tgz', '`d e`', 'f']]],
    ["open 'quote", [['open', 'quote']]],
    ['', []],
  ])('%j', (script, words) => expect(shellWords(script)).toEqual(words));

  it('are those of a real shell, for quoted words', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: fc.constantFrom(...'ab "\\$`') }), { minLength: 1, maxLength: 4 }),
        (list) => {
          const script = `printf '%s\\n' ${list.map((word) => `'${word}'`).join(' ')}`;
          const real = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).split('\n').slice(0, -1);
          expect(shellWords(script)[0]!.slice(2)).toEqual(real);
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('a call of tar', () => {
  it.each([
    ['tar -czf /b/x.tgz /data', { source: '/data', output: '/b/x.tgz', format: 'gzip', exclude: [] }],
    ['tar czf /b/x.tgz -C /data .', { source: '/data', output: '/b/x.tgz' }],
    [
      'tar --create --zstd --file=/b/x.tar.zst --directory /data state',
      { source: '/data/state', format: 'zstd' },
    ],
    ['/bin/tar -c -z -f /b/x.tgz --exclude=*.tmp --exclude cache /data', { exclude: ['*.tmp', 'cache'] }],
    ['tar -cjf /b/x.tbz /data', { problems: ['Archives are gzip or zstd, not bzip2 or xz.'] }],
    ['tar -czf /b/x.tgz /a /b', { problems: [expect.stringContaining('a schedule has one source')] }],
  ])('%s', (line, expected) => expect(tarCall(line.split(' '))).toMatchObject(expected));

  it.each(['tar -xzf /x.tgz', 'tar tzf x', 'cp a b', ''])('%j makes no archive', (line) =>
    expect(tarCall(line.split(' '))).toBeUndefined(),
  );
});

describe('what a script keeps', () => {
  it.each([
    ['ls -t /b/*.tgz | tail -n +8 | xargs rm -f', { limit: 7 }],
    ['find /b -name "*.tgz" -mtime +30 -delete', { limit: 0, maxAge: '31d' }],
    ['ls -1 /b | head -n -14 | xargs rm', { limit: 14 }],
    ['tar -c /data', undefined],
    ['find /b -mtime +30', undefined],
  ])('%s', (script, expected) => expect(retentionOf(script)).toEqual(expected));
});

const CRON_JOB = `
apiVersion: batch/v1
kind: CronJob
metadata: {name: wiki-backup, namespace: team}
spec:
  schedule: "30 3 * * *"
  timeZone: Europe/Berlin
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  jobTemplate:
    spec:
      backoffLimit: 1
      template:
        spec:
          restartPolicy: Never
          securityContext: {runAsUser: 1000, fsGroup: 2000}
          nodeSelector: {disk: fast}
          containers:
            - name: tar
              image: alpine
              command: [/bin/sh, -c]
              args:
                - |
                  set -e
                  tar -czf /backups/wiki/wiki-$(date +%F).tgz -C /data --exclude=cache .
                  ls -t /backups/wiki/*.tgz | tail -n +15 | xargs -r rm
                  aws s3 cp /backups/wiki s3://bucket --recursive
              resources: {limits: {memory: 1Gi}}
              env: [{name: AWS_SECRET_ACCESS_KEY, value: x}]
              volumeMounts:
                - {name: data, mountPath: /data, subPath: wiki}
                - {name: backups, mountPath: /backups}
          volumes:
            - {name: data, persistentVolumeClaim: {claimName: wiki-data}}
            - {name: backups, persistentVolumeClaim: {claimName: backups}}
`;

describe('a CronJob', () => {
  it('becomes a valid schedule, and what it also did is said', () => {
    const { spec, untranslated } = scheduleFromCronJob(parse(CRON_JOB) as CronJob, {});
    expect(KmBackupScheduleSpec.parse(spec)).toMatchObject({
      cron: '30 3 * * *',
      timeZone: 'Europe/Berlin',
      source: { persistentVolumeClaim: { claimName: 'wiki-data', subPath: 'wiki' }, exclude: ['cache'] },
      destination: { persistentVolumeClaim: { claimName: 'backups' }, path: 'wiki' },
      retention: { limit: 14 },
      successfulJobsHistoryLimit: 1,
      backoffLimit: 1,
      podTemplate: { runAsUser: 1000, fsGroup: 2000, nodeSelector: { disk: 'fast' } },
    });
    expect(untranslated).toEqual([
      expect.stringContaining('The script also runs aws'),
      'The environment of the container is left out.',
    ]);
  });

  it.each<[string, (job: CronJob) => unknown, string]>([
    ['without tar', (job) => ({ ...job, spec: { schedule: '@daily' } }), 'No container runs tar'],
    [
      'that may overlap',
      (job) => ({ ...job, spec: { ...job.spec, concurrencyPolicy: 'Allow' } }),
      'Runs never overlap',
    ],
    ['with nothing in it', () => ({ kind: 'CronJob' }), 'No container runs tar'],
  ])('%s says so', (_, change, said) => {
    const { spec, untranslated } = scheduleFromCronJob(change(parse(CRON_JOB) as CronJob) as CronJob, {});
    expect(untranslated.join('\n')).toContain(said);
    expect(() => KmBackupScheduleSpec.parse(spec)).not.toThrow();
  });
});
