import { describe, expect, it } from 'vitest';
import type { SourceIdentity } from '../../api/backup-schedule.ts';
import { latestSourceIdentity } from '../backupschedule/source-identity.ts';
import { at, job, runResult, schedule, scheduledBackup } from '../testing/fixtures.ts';
import type { ContainerSpec, Pod } from '../workloads.ts';
import { identityOf, type JobIdentity, sourceIdentity, withIdentity } from './identity.ts';
import { buildJob } from './job.ts';

interface PodOptions {
  pod?: Pod['spec']['securityContext'];
  containers?: ContainerSpec[];
  createdAt?: string;
  labels?: Record<string, string>;
}

const mounting = (readOnly = false) => ({ volumeMounts: [{ name: 'data', readOnly }] });

function podOf(
  name: string,
  {
    pod = {},
    containers = [{ name: 'app', ...mounting() }],
    createdAt = '01:00:00',
    labels = {},
  }: PodOptions,
): Pod {
  return {
    metadata: {
      name,
      namespace: 'team',
      uid: name,
      resourceVersion: '1',
      creationTimestamp: `2026-03-01T${createdAt}Z`,
      labels,
    },
    spec: {
      securityContext: pod,
      containers,
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'state' } }],
    },
    status: { phase: 'Running' },
  };
}

describe('the identity of the pod that mounts the source', () => {
  const cases: [name: string, pods: Pod[], expected: Partial<SourceIdentity> | undefined][] = [
    ['is unknown without such a pod', [], undefined],
    [
      'is the security context of the pod',
      [podOf('db', { pod: { runAsUser: 999, runAsGroup: 998, fsGroup: 997, supplementalGroups: [5] } })],
      { pod: 'db', runAsUser: 999, runAsGroup: 998, fsGroup: 997, supplementalGroups: [5] },
    ],
    [
      'is that of the container which mounts the claim, where that says more',
      [
        podOf('db', {
          pod: { runAsUser: 1, seLinuxOptions: { level: 's0:c1,c2' } },
          containers: [
            { name: 'proxy', securityContext: { runAsUser: 1337 } },
            { name: 'db', securityContext: { runAsUser: 999, runAsGroup: 998 }, ...mounting() },
          ],
        }),
      ],
      { runAsUser: 999, runAsGroup: 998, seLinuxOptions: { level: 's0:c1,c2' } },
    ],
    [
      'is that of the container which writes rather than of one that reads',
      [
        podOf('db', {
          containers: [
            { name: 'exporter', securityContext: { runAsUser: 5 }, ...mounting(true) },
            { name: 'db', securityContext: { runAsUser: 999 }, ...mounting() },
          ],
        }),
      ],
      { runAsUser: 999 },
    ],
    [
      'keeps group 0 of a user that is not root',
      [podOf('db', { pod: { runAsUser: 1000650000, runAsGroup: 0 } })],
      { runAsUser: 1000650000, runAsGroup: 0 },
    ],
    [
      'is not that of another run',
      [
        podOf('run', {
          pod: { runAsUser: 3 },
          labels: { 'app.kubernetes.io/managed-by': 'km-backup-operator' },
        }),
      ],
      undefined,
    ],
  ];
  it.each(cases)('%s', (_name, pods, expected) => {
    const found = sourceIdentity('state', pods);
    if (expected) expect(found).toMatchObject({ claimName: 'state', ...expected });
    else expect(found).toBeUndefined();
  });

  it('takes no user from a root pod, and says why', () => {
    const found = sourceIdentity('state', [
      podOf('db', { pod: { runAsUser: 0, runAsGroup: 0, fsGroup: 7 } }),
    ]);
    expect(found).not.toHaveProperty('runAsUser');
    expect(found).not.toHaveProperty('runAsGroup');
    expect(found).toMatchObject({
      fsGroup: 7,
      note: expect.stringContaining('Pod db mounts claim state as root'),
    });
  });

  it('takes no user that only the image knows, and says why', () => {
    const found = sourceIdentity('state', [podOf('db', {})]);
    expect(found).not.toHaveProperty('runAsUser');
    expect(found?.note).toContain('the user of its image');
  });

  it('chooses among pods with different users the same one each time, and names them', () => {
    const pods = [
      podOf('reader', {
        pod: { runAsUser: 1 },
        containers: [{ name: 'c', ...mounting(true) }],
        createdAt: '00:00:00',
      }),
      podOf('root', { pod: { runAsUser: 0 }, createdAt: '00:00:01' }),
      podOf('younger', { pod: { runAsUser: 3 }, createdAt: '02:00:00' }),
      podOf('older', { pod: { runAsUser: 2 }, createdAt: '01:00:00' }),
    ];
    for (const order of [pods, pods.toReversed()]) {
      const found = sourceIdentity('state', order);
      expect(found).toMatchObject({ pod: 'older', runAsUser: 2 });
      expect(found?.note).toContain('older (user 2), younger (user 3), reader (user 1), root (root)');
    }
  });
});

describe('as whom a Job runs', () => {
  const source: SourceIdentity = {
    claimName: 'state',
    pod: 'db',
    runAsUser: 999,
    runAsGroup: 998,
    fsGroup: 997,
  };
  const context = (podTemplate: object | undefined, known?: SourceIdentity) =>
    identityOf(schedule(podTemplate ? { podTemplate } : {}).spec, known).securityContext;

  const cases: [
    name: string,
    podTemplate: object | undefined,
    source: SourceIdentity | undefined,
    expected: object,
  ][] = [
    ['the default', undefined, undefined, { runAsUser: 65532, runAsGroup: 65532 }],
    ['the pod', undefined, source, { runAsUser: 999, runAsGroup: 998, fsGroup: 997 }],
    ['the schedule before the pod', { runAsUser: 5 }, source, { runAsUser: 5, runAsGroup: 5, fsGroup: 997 }],
    [
      'the schedule alone',
      { runAsUser: 5, fsGroup: 6 },
      undefined,
      { runAsUser: 5, runAsGroup: 5, fsGroup: 6 },
    ],
    [
      'every field of the schedule',
      {
        runAsUser: 5,
        runAsGroup: 6,
        fsGroup: 7,
        supplementalGroups: [8],
        seLinuxOptions: { level: 's0:c9' },
      },
      source,
      {
        runAsUser: 5,
        runAsGroup: 6,
        fsGroup: 7,
        supplementalGroups: [8],
        seLinuxOptions: { level: 's0:c9' },
      },
    ],
    [
      'a pod without a group: that of its user or 0, as its image decides',
      undefined,
      { claimName: 'state', pod: 'db', runAsUser: 999, supplementalGroups: [5] },
      { runAsUser: 999, runAsGroup: 999, supplementalGroups: [5, 0] },
    ],
    [
      'a root pod with a group',
      undefined,
      { claimName: 'state', pod: 'db', fsGroup: 997 },
      { runAsUser: 65532, runAsGroup: 65532, fsGroup: 997 },
    ],
  ];
  it.each(cases)('%s', (_name, podTemplate, known, expected) => {
    const found = context(podTemplate, known);
    expect(found).toMatchObject({ runAsNonRoot: true, fsGroupChangePolicy: 'OnRootMismatch', ...expected });
  });

  it.each([
    ['the pod names its group', {}, source],
    ['the schedule names a group', { runAsGroup: 7 }, { ...source, runAsGroup: undefined }],
    ['the schedule names a user', { runAsUser: 7 }, { ...source, runAsGroup: undefined }],
    ['the user is unknown', {}, { claimName: 'state', pod: 'db' }],
    ['the Job is elevated', { elevated: true }, { ...source, runAsGroup: undefined }],
  ])('has no group 0 where %s', (_name, podTemplate, known) => {
    expect(context(podTemplate, known as SourceIdentity)).not.toHaveProperty('supplementalGroups');
  });

  it('is left to the platform where nobody names a user and the operator is told to', () => {
    const platform = { defaultUser: false };
    const { securityContext, identity } = identityOf(schedule().spec, undefined, platform);
    expect(securityContext).toEqual({
      runAsNonRoot: true,
      fsGroupChangePolicy: 'OnRootMismatch',
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(identity).toEqual({ from: 'default' });
    expect(identityOf(schedule().spec, source, platform).securityContext).toMatchObject({ runAsUser: 999 });
    const named = schedule({ podTemplate: { runAsUser: 5 } }).spec;
    expect(identityOf(named, source, platform).securityContext).toMatchObject({
      runAsUser: 5,
      runAsGroup: 5,
    });
    const elevated = schedule({ podTemplate: { elevated: true } }).spec;
    expect(identityOf(elevated, source, platform).securityContext).toMatchObject({ runAsUser: 0 });
  });

  it('is remembered by the schedule for as long as it names the same claim', () => {
    const backup = scheduledBackup(at('01:00:00'));
    const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: false } as const;
    const { metadata } = buildJob(backup, schedule(), settings, { tolerations: [] }, source);
    const made = {
      ...job(backup),
      metadata: { ...job(backup).metadata, annotations: metadata.annotations ?? {} },
    };
    expect(latestSourceIdentity(schedule(), [made])).toEqual(source);
    expect(latestSourceIdentity(schedule({}, { sourceIdentity: source }), [job(backup)])).toEqual(source);
    const moved = { source: { persistentVolumeClaim: { claimName: 'other' } } };
    expect(latestSourceIdentity(schedule(moved, { sourceIdentity: source }), [made])).toBeUndefined();
  });
});

describe('a run that was denied access', () => {
  const denied = {
    state: 'finished' as const,
    phase: 'Failed' as const,
    reason: 'DestinationUnusable' as const,
    message: '/destination/backups: cannot write (EACCES).',
  };
  it.each<[name: string, identity: JobIdentity, said: string[]]>([
    ['the platform', { from: 'default' }, ['The Job ran as the user that the platform chose (the default']],
    [
      'as the default user',
      { user: 65532, group: 65532, from: 'default' },
      ['user 65532', 'no pod', 'spec.podTemplate.fsGroup'],
    ],
    [
      'because the pod is root',
      {
        user: 65532,
        group: 65532,
        from: 'default',
        source: { claimName: 'state', pod: 'db', note: 'Pod db is root.' },
      },
      ['Pod db is root.', 'spec.podTemplate.runAsUser'],
    ],
    [
      'as the pod',
      { user: 999, group: 999, fsGroup: 7, from: 'pod', source: { claimName: 'state', pod: 'db' } },
      ['user 999 with group 999 and fsGroup 7', 'pod db'],
    ],
  ])('names its identity and the field to set: %s', (_name, identity, said) => {
    const { message } = withIdentity(denied, identity);
    for (const text of said) expect(message).toContain(text);
  });

  it('blames the server of the volume when even root was denied', () => {
    const { message } = withIdentity(denied, { user: 0, group: 0, from: 'spec.podTemplate', elevated: true });
    expect(message).toContain('root_squash');
  });

  it('says nothing of it when nothing was denied', () => {
    const identity: JobIdentity = { user: 1, group: 1, from: 'default' };
    const full = { ...denied, message: 'no space left' };
    expect(withIdentity(full, identity)).toEqual(full);
    const clean = { ...denied, phase: 'Succeeded' as const, result: runResult() };
    expect(withIdentity(clean, identity)).toEqual(clean);
  });
});
