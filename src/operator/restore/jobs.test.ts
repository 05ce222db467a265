import { describe, expect, it } from 'vitest';
import { type KmBackupLocation, KmBackupLocationSpec } from '../../api/location.ts';
import { LABELS } from '../../api/names.ts';
import { type KmRestore, KmRestoreSpec } from '../../api/restore.ts';
import { buildRestoreJob, type RestoreJobSettings } from './jobs.ts';
import type { RestoreJobKind } from './observed.ts';

const settings: RestoreJobSettings = {
  image: 'km:1',
  imagePullPolicy: 'IfNotPresent',
  imagePullSecrets: ['registry'],
  allowScripts: false,
  stepImages: [],
};
const metadata = (name: string) => ({
  name,
  namespace: 'team',
  uid: `uid-${name}`,
  resourceVersion: '1',
  generation: 1,
  creationTimestamp: '2026-03-01T00:00:00Z',
});

const s3 = {
  bucket: 'backups',
  prefix: 'clusters/a',
  endpoint: 'https://s3.example.com',
  region: 'eu-1',
  forcePathStyle: true,
  credentialsSecretRef: { name: 'bucket-keys' },
  caBundle: { configMapKeyRef: { name: 'ca', key: 'ca.crt' } },
};
const location = (spec: object): KmBackupLocation => ({
  apiVersion: 'km.duskmantle.io/v1alpha1',
  kind: 'KmBackupLocation',
  metadata: metadata('offsite'),
  spec: KmBackupLocationSpec.parse({ encryption: { none: true }, ...spec }),
});

const restoreOf = (spec: object, more: object = {}): KmRestore => ({
  apiVersion: 'km.duskmantle.io/v1alpha1',
  kind: 'KmRestore',
  metadata: metadata('back'),
  spec: KmRestoreSpec.parse({ target: { persistentVolumeClaim: { claimName: 'data' } }, ...spec }),
  status: {
    resolved: {
      archive: {
        name: 'km-backup-x.tgz',
        sha256: 'a'.repeat(64),
        manifestSha256: 'b'.repeat(64),
        sizeBytes: 5_000_000_000,
      },
      series: '--odd/$(name)',
      location: { name: 'offsite', url: 's3://backups/clusters/a' },
    },
    ...more,
  },
});
const fromLocation = {
  source: { location: { name: 'offsite', identitySecretRef: { name: 'restore-key' } } },
};

function podOf(kind: RestoreJobKind, restore = restoreOf(fromLocation), where = location({ s3 })) {
  const { template } = buildRestoreJob(restore, kind, settings, undefined, where).spec;
  const { containers, volumes = [], imagePullSecrets, terminationGracePeriodSeconds } = template.spec!;
  const labels = template.metadata!.labels!;
  const graceSeconds = terminationGracePeriodSeconds ?? 30;
  return { container: containers[0]!, volumes, imagePullSecrets, labels, graceSeconds };
}

describe('the Jobs of a restore from a location', () => {
  it.each<RestoreJobKind>(['find', 'plan', 'stage'])('%s reaches the location', (kind) => {
    const { container, volumes, labels } = podOf(kind);
    expect(container.args).toEqual(
      expect.arrayContaining([
        '--path-style',
        '--ca-bundle=/location-ca/ca.pem',
        '--identity=/identity/identity',
      ]),
    );
    expect(container.args).toContain('s3://backups/clusters/a');
    expect(container.env).toEqual(
      expect.arrayContaining([
        { name: 'AWS_ENDPOINT_URL_S3', value: 'https://s3.example.com' },
        {
          name: 'AWS_SECRET_ACCESS_KEY',
          valueFrom: { secretKeyRef: { name: 'bucket-keys', key: 'AWS_SECRET_ACCESS_KEY' } },
        },
        {
          name: 'AWS_SESSION_TOKEN',
          valueFrom: { secretKeyRef: { name: 'bucket-keys', key: 'AWS_SESSION_TOKEN', optional: true } },
        },
      ]),
    );
    expect(volumes).toContainEqual({
      name: 'identity',
      secret: { secretName: 'restore-key', items: [{ key: 'identity', path: 'identity' }] },
    });
    expect(labels[LABELS.location]).toBe('offsite');
  });

  it.each<RestoreJobKind>(['swap', 'discard', 'rollback', 'commit'])(
    '%s gets neither credentials nor identity, and no label that opens the network',
    (kind) => {
      const { container, volumes, labels } = podOf(kind);
      expect(JSON.stringify([container, volumes])).not.toMatch(/secret/i);
      expect(volumes.map(({ name }) => name)).toEqual(['target']);
      expect(labels).not.toHaveProperty(LABELS.location);
    },
  );

  it('run where and as the template says, on the node of the claim', () => {
    const podTemplate = {
      labels: { team: 'storage' },
      annotations: { 'example.com/note': 'x' },
      nodeSelector: { disk: 'fast' },
      tolerations: [{ key: 'spot', operator: 'Exists' as const }],
      priorityClassName: 'high',
      resources: { limits: { memory: '1Gi' }, requests: { cpu: '1' } },
    };
    const restore = restoreOf({ ...fromLocation, podTemplate });
    const placement = { nodeName: 'node-1', tolerations: [{ key: 'full', operator: 'Exists' }] };
    const { template } = buildRestoreJob(restore, 'stage', settings, placement, location({ s3 })).spec;
    expect(template.metadata).toMatchObject({
      labels: { team: 'storage', [LABELS.component]: 'stage' },
      annotations: { 'example.com/note': 'x' },
    });
    expect(template.spec).toMatchObject({
      nodeSelector: { disk: 'fast' },
      priorityClassName: 'high',
      tolerations: [{ key: 'spot' }, { key: 'full' }],
    });
    expect(JSON.stringify(template.spec!.affinity)).toContain('node-1');
    const { resources } = template.spec!.containers[0]!;
    expect(resources).toMatchObject({ limits: { memory: '1Gi' }, requests: { cpu: '1' } });
    expect(resources!.requests).toHaveProperty('ephemeral-storage');
  });

  it('finds without the target, by what the restore asks for', () => {
    const restore = restoreOf(
      { source: { location: { name: 'offsite', series: '--odd', asOf: '2026-02-01T00:00:00Z' } } },
      { resolved: undefined },
    );
    const { container, volumes } = podOf('find', restore);
    expect(container.args?.slice(0, 2)).toEqual(['restore', '--find']);
    expect(container.args).toEqual(
      expect.arrayContaining(['--series=--odd', '--as-of=2026-02-01T00:00:00Z', '--retry-seconds=120']),
    );
    expect(volumes.map(({ name }) => name).sort()).toEqual(['location-ca', 'work']);
  });

  it('later takes what was pinned, whatever the location has by then', () => {
    const { container } = podOf('stage');
    expect(container.args).toEqual(
      expect.arrayContaining([
        '--stage-only',
        '--id=uid-back',
        '--archive=km-backup-x.tgz',
        // The kubelet makes one `$` of two.
        '--series=--odd/$$(name)',
        `--expect-manifest=${'b'.repeat(64)}`,
      ]),
    );
    expect(container.args?.slice(-2)).toEqual(['s3://backups/clusters/a', '/target']);
  });

  it('asks for a node with room for the archive', () => {
    expect(podOf('stage').container.resources?.requests?.['ephemeral-storage']).toBe(
      String(5_000_000_000 + 2 ** 26),
    );
    for (const kind of ['find', 'plan', 'swap'] as const)
      expect(podOf(kind).container.resources?.requests).not.toHaveProperty('ephemeral-storage');
  });

  it('reads a location on a claim read-only', () => {
    const where = location({ directory: { persistentVolumeClaim: { claimName: 'share' } } });
    const { container, volumes } = podOf('stage', undefined, where);
    expect(volumes).toContainEqual({
      name: 'location',
      persistentVolumeClaim: { claimName: 'share', readOnly: true },
    });
    expect(container.args).toContain('dir:/locations/offsite/km-backup');
    expect(JSON.stringify(container)).not.toContain('AWS_');
  });
});

it.each(['stage', 'swap', 'discard', 'rollback', 'commit'] as const)(
  'the Job to %s waits for a pod that the API no longer knows, for longer than its grace period',
  (kind) => {
    const { container, graceSeconds } = podOf(kind);
    const wait = container.args?.find((arg) => arg.startsWith('--lock-wait='));
    expect(Number(wait?.split('=')[1])).toBeGreaterThan(graceSeconds);
  },
);

describe('the Jobs of a restore from a claim', () => {
  const fromClaim = (target: object) =>
    restoreOf(
      { source: { archive: { persistentVolumeClaim: { claimName: 'archives' }, path: 'a/x.tgz' } }, target },
      { resolved: { archive: { name: 'x.tgz', claimName: 'archives', path: 'a' } } },
    );

  it('mounts one claim once', () => {
    const { container, volumes } = podOf(
      'stage',
      fromClaim({ persistentVolumeClaim: { claimName: 'archives' } }),
    );
    expect(volumes.map(({ name }) => name)).toEqual(['target']);
    expect(container.args?.slice(-2)).toEqual(['/archive/a/x.tgz', '/target']);
    expect(container.volumeMounts).toEqual([
      { name: 'target', mountPath: '/archive', readOnly: true },
      { name: 'target', mountPath: '/target' },
    ]);
  });

  it('makes scratch space, and can pull the image', () => {
    const { volumes, imagePullSecrets } = podOf('stage', fromClaim({ scratch: { size: '1Gi' } }));
    expect(volumes.map(({ name, ephemeral }) => [name, ephemeral !== undefined])).toEqual([
      ['target', true],
      ['archive', false],
    ]);
    expect(imagePullSecrets).toEqual([{ name: 'registry' }]);
  });
});
