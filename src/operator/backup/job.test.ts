import { describe, expect, it } from 'vitest';
import { ANNOTATIONS } from '../../api/names.ts';
import { at, schedule, scheduledBackup } from '../testing/fixtures.ts';
import { buildJob } from './job.ts';
import { placementFor } from './placement.ts';

const settings = { image: 'km:1', imagePullPolicy: 'IfNotPresent', allowScripts: true } as const;
const backup = scheduledBackup(at('01:00:00'));
const build = (spec: Record<string, unknown>, placement = {}) =>
  buildJob(backup, schedule(spec), settings, { tolerations: [], ...placement });
const container = (spec: Record<string, unknown>) => build(spec).spec.template.spec!.containers[0]!;

describe('the Job of a run', () => {
  it('is owned by its KmBackup, runs as nobody and holds no token', () => {
    const job = build({});
    expect(job.metadata.ownerReferences[0]).toMatchObject({ uid: backup.metadata.uid, controller: true });
    const pod = job.spec.template.spec!;
    expect(pod.automountServiceAccountToken).toBe(false);
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(pod.containers[0]!.securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
    });
  });

  it('is root with one capability if it is elevated, and takes nothing from the pod of the source', () => {
    const source = { claimName: 'state', pod: 'db', runAsUser: 999, fsGroup: 998, supplementalGroups: [7] };
    const elevated = schedule({ podTemplate: { elevated: true } });
    const { spec, metadata } = buildJob(backup, elevated, settings, { tolerations: [] }, source);
    const pod = spec.template.spec!;
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: false, runAsUser: 0, runAsGroup: 0 });
    expect(pod.securityContext).not.toHaveProperty('fsGroup');
    expect(pod.securityContext).not.toHaveProperty('supplementalGroups');
    expect(pod.containers[0]!.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['DAC_OVERRIDE'] },
    });
    expect(JSON.parse(metadata.annotations![ANNOTATIONS.identity]!)).toMatchObject({
      user: 0,
      elevated: true,
      source,
    });
  });

  it('passes on the limits of the guard, and what a person approved', () => {
    const guarded = schedule(
      { guard: { maxShrinkPercent: 30 } },
      {
        suspicions: { backups: ['x'], approvedArchives: ['km-backup-1.tgz', '--x'] },
      },
    );
    const args = buildJob(backup, guarded, settings, { tolerations: [] }).spec.template.spec!.containers[0]!
      .args!;
    expect(args.filter((arg) => /guard|approve/.test(arg))).toEqual([
      '--guard-max-shrink-percent=30',
      '--approve=km-backup-1.tgz',
      '--approve=--x',
    ]);
    expect(container({}).args!.filter((arg) => /guard|approve/.test(arg))).toEqual([]);
  });

  it('mounts the Secrets of its notifications, which need not exist', () => {
    const spec = {
      notifications: [
        { name: 'team', webhook: { secretRef: { name: 'hook' } } },
        { name: 'monitor', ping: { secretRef: { name: 'hc' } } },
      ],
    };
    const { args, volumeMounts } = container(spec);
    expect(args).toEqual(
      expect.arrayContaining(['--notify-webhook=/notify/team', '--notify-ping=/notify/monitor']),
    );
    expect(args).toContain(`--run-id=${backup.metadata.namespace}/${backup.metadata.name}`);
    expect(volumeMounts).toContainEqual({ name: 'notify-team', mountPath: '/notify/team', readOnly: true });
    const { volumes, containers } = build(spec).spec.template.spec!;
    expect(volumes).toContainEqual({
      name: 'notify-monitor',
      secret: { secretName: 'hc', optional: true, defaultMode: 0o444 },
    });
    expect(JSON.stringify(containers)).not.toContain('secretKeyRef');
  });

  it('pulls with the secrets of the installation', () => {
    expect(build({}).spec.template.spec).not.toHaveProperty('imagePullSecrets');
    const withSecrets = { ...settings, imagePullSecrets: ['one', 'two'] };
    const job = buildJob(backup, schedule({}), withSecrets, { tolerations: [] });
    expect(job.spec.template.spec!.imagePullSecrets).toEqual([{ name: 'one' }, { name: 'two' }]);
  });

  it('gives the volume no group that nobody asked for', () => {
    expect(build({}).spec.template.spec!.securityContext).not.toHaveProperty('fsGroup');
    const runAsGroup = build({ podTemplate: { runAsUser: 7, runAsGroup: 8 } }).spec.template.spec!;
    expect(runAsGroup.securityContext).not.toHaveProperty('fsGroup');
  });

  it('ends by itself only after all tries have had all their time', () => {
    const spec = { startDeadlineSeconds: 100, activeDeadlineSeconds: 1000, backoffLimit: 1 };
    expect(build(spec).spec.activeDeadlineSeconds).toBe(2 * (2 * 100 + 1000 + 600));
    expect(build({ activeDeadlineSeconds: 2_147_483_647 }).spec.activeDeadlineSeconds).toBe(2_147_483_647);
  });

  it('keeps every value of a schedule in one argument, unexpanded by the kubelet', () => {
    const exclude = ['$(SECRET)', '-rf', 'line\nbreak', '$$x'];
    const args = container({ source: { persistentVolumeClaim: { claimName: 'state' }, exclude } }).args!;
    expect(args.filter((arg) => arg.startsWith('--exclude='))).toEqual([
      '--exclude=$$(SECRET)',
      '--exclude=-rf',
      '--exclude=line\nbreak',
      '--exclude=$$$$x',
    ]);
    expect(args[0]).toBe('create');
    expect(args.slice(1).every((arg) => arg.startsWith('--'))).toBe(true);
  });

  it('runs a script by its path, read-only', () => {
    const script = { configMapKeyRef: { name: 'scripts', key: 'backup.sh' } };
    const { args, volumeMounts } = container({ script });
    expect([args!.at(0), args!.at(-1)]).toEqual(['run-script', '/script/backup.sh']);
    expect(volumeMounts).toContainEqual({ name: 'script', mountPath: '/script', readOnly: true });
  });

  it('mounts one claim twice or two claims once each, the source read-only', () => {
    expect(build({}).spec.template.spec!.volumes).toHaveLength(1);
    expect(container({}).volumeMounts).toEqual([
      { name: 'source', mountPath: '/source', readOnly: true },
      { name: 'source', mountPath: '/destination' },
    ]);
    const apart = { destination: { persistentVolumeClaim: { claimName: 'archives' }, path: 'a' } };
    expect(build(apart).spec.template.spec!.volumes).toEqual([
      { name: 'source', persistentVolumeClaim: { claimName: 'state', readOnly: true } },
      { name: 'destination', persistentVolumeClaim: { claimName: 'archives' } },
    ]);
    expect(container(apart).args).toContain('--destination=/destination/a');
  });

  it("does not let a schedule overwrite the operator's labels", () => {
    const job = build({ podTemplate: { labels: { 'app.kubernetes.io/managed-by': 'me', mine: 'yes' } } });
    expect(job.metadata.labels).toMatchObject({
      'app.kubernetes.io/managed-by': 'km-backup-operator',
      mine: 'yes',
    });
  });

  it('adds the node of a mounted claim to each alternative the schedule allows', () => {
    const terms = [
      { matchExpressions: [{ key: 'a', operator: 'Exists' }] },
      { matchExpressions: [{ key: 'b', operator: 'Exists' }] },
    ];
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
    };
    const job = build({ podTemplate: { affinity } }, { nodeName: 'node-7' });
    const placed =
      job.spec.template.spec!.affinity!.nodeAffinity!.requiredDuringSchedulingIgnoredDuringExecution!
        .nodeSelectorTerms;
    expect(placed).toHaveLength(2);
    for (const term of placed)
      expect(term.matchFields).toEqual([{ key: 'metadata.name', operator: 'In', values: ['node-7'] }]);
  });
});

describe('where a run goes', () => {
  const claim = (name: string, mode: string) => ({
    metadata: { ...backup.metadata, name },
    spec: { accessModes: [mode] },
  });
  const user = (claimName: string, nodeName: string | undefined, phase = 'Running') => ({
    metadata: { ...backup.metadata, name: `user-of-${claimName}` },
    spec: {
      ...(nodeName && { nodeName }),
      tolerations: [{ key: 'gpu', operator: 'Exists' }],
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
    },
    status: { phase },
  });
  const cases: [string, Parameters<typeof placementFor>, Record<string, unknown>][] = [
    [
      'anywhere when no claim is mounted',
      [[claim('a', 'ReadWriteOnce')], []],
      { ok: true, placement: { tolerations: [] } },
    ],
    [
      'anywhere with a shared claim',
      [[claim('a', 'ReadWriteMany')], [user('a', 'n1')]],
      { ok: true, placement: { tolerations: [] } },
    ],
    [
      'to the node of the claim, with its tolerations',
      [[claim('a', 'ReadWriteOnce')], [user('a', 'n1')]],
      { ok: true, placement: { nodeName: 'n1', tolerations: [{ key: 'gpu' }] } },
    ],
    [
      'anywhere when the pod has ended',
      [[claim('a', 'ReadWriteOnce')], [user('a', 'n1', 'Succeeded')]],
      { ok: true, placement: { tolerations: [] } },
    ],
    [
      'nowhere with two claims on two nodes',
      [
        [claim('a', 'ReadWriteOnce'), claim('b', 'ReadWriteOnce')],
        [user('a', 'n1'), user('b', 'n2')],
      ],
      { ok: false, reason: 'ClaimsOnDifferentNodes' },
    ],
    [
      'nowhere with a claim of one pod in use',
      [[claim('a', 'ReadWriteOncePod')], [user('a', 'n1')]],
      { ok: false, reason: 'ClaimInUse' },
    ],
  ];
  it.each(cases)('%s', (_name, args, expected) => {
    expect(placementFor(...args)).toMatchObject(expected);
  });
});
