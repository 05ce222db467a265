import { describe, expect, it } from 'vitest';
import { at, checkedLocation, location, schedule } from '../testing/fixtures.ts';
import { displayUrl } from './access.ts';
import { buildCheckJob, buildCopyJob, type CopyJob } from './jobs.ts';

const settings = {
  image: 'km:1',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: ['pull'],
  allowScripts: false,
} as const;
const checked = checkedLocation('True', at('01:00:00'));
const share = { s3: undefined, directory: { persistentVolumeClaim: { claimName: 'share' }, path: 'a/b' } };

const copyTo = (spec: Record<string, unknown> = {}, more: Partial<CopyJob> = {}) =>
  buildCopyJob(
    {
      schedule: schedule({ retention: { limit: 7, keepWeekly: 4 } }),
      spec: { locationRef: { name: 'offsite' } },
      location: location(spec, checked),
      attempt: 3,
      backup: 'notes-now',
      placement: { tolerations: [] },
      source: undefined,
      ...more,
    },
    settings,
  );
const podOf = ({ spec }: ReturnType<typeof copyTo>) => spec.template.spec!;
const argumentsOf = (job: ReturnType<typeof copyTo>) => podOf(job).containers[0]!.args!;

describe('the Job of a copy', () => {
  it('runs km-backup copy with the rules of the copies', () => {
    expect(argumentsOf(copyTo())).toEqual([
      'copy',
      '--missing',
      '--destination=/destination/backups/archives',
      '--series=team/notes',
      `--recipient=age1${'q'.repeat(58)}`,
      '--expect-id=id-1',
      '--retention-limit=7',
      '--keep-weekly=4',
      '--lock-wait=3600',
      '--retry-seconds=120',
      '--result-file=/dev/termination-log',
      '--progress=json',
      's3://backups',
    ]);
    const own = copyTo({}, { spec: { locationRef: { name: 'offsite' }, retention: { limit: 30 } } });
    expect(argumentsOf(own)).toContain('--retention-limit=30');
    expect(argumentsOf(own)).not.toContain('--keep-weekly=4');
  });

  it('mounts the archives and neither the source nor a token', () => {
    const job = copyTo(
      {},
      {
        schedule: schedule({ destination: { persistentVolumeClaim: { claimName: 'archives' } } }),
      },
    );
    const pod = podOf(job);
    expect(pod.volumes).toEqual([
      { name: 'archives', persistentVolumeClaim: { claimName: 'archives' } },
      { name: 'work', emptyDir: {} },
    ]);
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod).toMatchObject({
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      imagePullSecrets: [{ name: 'pull' }],
    });
    expect(pod.containers[0]!.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('takes credentials by reference alone', () => {
    const { env } = podOf(copyTo()).containers[0]!;
    expect(env?.slice(1)).toEqual(
      ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN'].map((key) => ({
        name: key,
        valueFrom: {
          secretKeyRef: { name: 'keys', key, ...(key === 'AWS_SESSION_TOKEN' && { optional: true }) },
        },
      })),
    );
  });

  it('leaves credentials to the cluster where no Secret is named', () => {
    const { env } = podOf(copyTo({ s3: { bucket: 'backups', region: 'eu-central-1' } })).containers[0]!;
    expect(env?.slice(1)).toEqual([{ name: 'AWS_REGION', value: 'eu-central-1' }]);
  });

  it('passes on what the location says', () => {
    const job = copyTo({
      s3: {
        bucket: 'backups',
        prefix: 'a/b',
        endpoint: 'https://s3.example.com',
        forcePathStyle: true,
        caBundle: { configMapKeyRef: { name: 'ca', key: 'root.pem' } },
      },
      encryption: { none: true },
      objectLock: { days: 30, mode: 'COMPLIANCE' },
      bandwidthLimit: '10Mi',
    });
    expect(argumentsOf(job)).toEqual(
      expect.arrayContaining([
        '--no-encryption',
        '--retain-days=30',
        '--retain-mode=COMPLIANCE',
        '--path-style',
        '--ca-bundle=/location-ca/ca.pem',
        '--bandwidth-limit=10M',
      ]),
    );
    expect(argumentsOf(job).at(-1)).toBe('s3://backups/a/b');
    expect(podOf(job).volumes).toContainEqual({
      name: 'location-ca',
      configMap: { name: 'ca', items: [{ key: 'root.pem', path: 'ca.pem' }] },
    });
  });

  it('mounts the claim of a folder under the name of the location', () => {
    const job = copyTo(share);
    expect(argumentsOf(job).at(-1)).toBe('dir:/locations/offsite/a/b');
    expect(podOf(job).containers[0]!.volumeMounts).toEqual([
      { name: 'archives', mountPath: '/destination' },
      { name: 'work', mountPath: '/work' },
      { name: 'location', mountPath: '/locations/offsite' },
    ]);
    expect(podOf(job).containers[0]!.env).toHaveLength(1);
  });

  it('mounts a claim once that holds both archives and copies', () => {
    const job = copyTo(share, {
      schedule: schedule({ destination: { persistentVolumeClaim: { claimName: 'share' } } }),
    });
    expect(podOf(job).volumes).toHaveLength(2);
    expect(podOf(job).containers[0]!.volumeMounts).toEqual([
      { name: 'location', mountPath: '/destination' },
      { name: 'work', mountPath: '/work' },
      { name: 'location', mountPath: '/locations/offsite' },
    ]);
  });

  it('expands nothing that looks like a variable', () => {
    const job = copyTo(
      {},
      { location: location({}, { ...checked, locationId: '$(AWS_SECRET_ACCESS_KEY)' }) },
    );
    expect(argumentsOf(job)).toContain('--expect-id=$$(AWS_SECRET_ACCESS_KEY)');
  });

  it('has a name of its own for each attempt, schedule and location, of 57 characters at most', () => {
    const long = 'x'.repeat(60);
    const names = [
      copyTo(),
      copyTo({}, { attempt: 4 }),
      copyTo({}, { location: location({}, checked, 'other') }),
      copyTo({}, { location: location({}, checked, `${long}.${long}.a`) }),
      copyTo({}, { location: location({}, checked, `${long}.${long}.b`) }),
    ].map(({ metadata }) => metadata.name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z0-9][-a-z0-9]{1,55}[a-z0-9]$/);
  });
});

it('a check has no volume of a schedule, and belongs to its location', () => {
  const job = buildCheckJob(location(share, checked), settings, { tolerations: [], nodeName: 'node-1' });
  expect(podOf(job).volumes).toEqual([
    { name: 'work', emptyDir: {} },
    { name: 'location', persistentVolumeClaim: { claimName: 'share' } },
  ]);
  expect(podOf(job).affinity).toBeDefined();
  expect(job.metadata.ownerReferences[0]).toMatchObject({ kind: 'KmBackupLocation', name: 'offsite' });
  expect(displayUrl(location(share))).toBe('pvc:share/a/b (team)');
});
