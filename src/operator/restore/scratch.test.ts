import { describe, expect, it } from 'vitest';
import { API_VERSION } from '../../api/names.ts';
import { type KmRestore, KmRestoreSpec } from '../../api/restore.ts';
import type { RestoreResult } from '../../api/restore-result.ts';
import type { Job, Pod } from '../workloads.ts';
import { stateOfRestoreJob } from './job-state.ts';
import { buildRestoreJob, type RestoreJobSettings } from './jobs.ts';
import { scriptRefusal } from './scratch.ts';

const settings: RestoreJobSettings = {
  image: 'km:1',
  imagePullPolicy: 'IfNotPresent',
  allowScripts: true,
  stepImages: ['allowed:1'],
};
const metadata = {
  name: 'proof',
  namespace: 'team',
  uid: 'uid-proof',
  resourceVersion: '1',
  creationTimestamp: '2026-03-01T00:00:00Z',
};
const restoreWith = (script: object | undefined): KmRestore => ({
  apiVersion: API_VERSION,
  kind: 'KmRestore',
  metadata,
  spec: KmRestoreSpec.parse({
    source: { scheduleName: 'notes' },
    target: { scratch: { size: '1Gi', ...(script && { script }) } },
  }),
  status: {
    resolved: {
      archive: { name: 'km-backup-x.tgz', claimName: 'state', path: 'backups', sha256: 'a'.repeat(64) },
    },
  },
});
const script = { configMapKeyRef: { name: 'proofs', key: 'check.sh' } };

describe('a script on scratch space', () => {
  it.each([
    ['none', undefined, settings, undefined],
    ['allowed', script, settings, undefined],
    ['in an allowed image', { ...script, image: 'allowed:1' }, settings, undefined],
    ['in another image', { ...script, image: 'mine' }, settings, 'restore.stepImages'],
    ['not allowed', script, { ...settings, allowScripts: false }, 'jobs.allowScripts=true'],
  ])('%s', (_, given, how, words) => {
    const refusal = scriptRefusal(restoreWith(given), how);
    if (words === undefined) expect(refusal).toBeUndefined();
    else expect(refusal).toContain(words);
  });

  it('runs after the restore in its pod, on its volume, without its archive', () => {
    const built = buildRestoreJob(
      restoreWith({ ...script, image: 'allowed:1' }),
      'stage',
      settings,
      undefined,
      undefined,
    );
    const { initContainers, containers, volumes } = built.spec.template.spec!;
    expect(initContainers?.map(({ name }) => name)).toEqual(['km-backup']);
    expect(containers).toMatchObject([
      {
        name: 'script',
        image: 'allowed:1',
        command: ['/script/check.sh'],
        workingDir: '/target',
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ]);
    expect(containers[0]?.volumeMounts?.map(({ name }) => name)).toEqual(['script', 'target']);
    expect(volumes?.map(({ name }) => name).sort()).toEqual(['archive', 'script', 'target']);
    const [first, second] = built.spec.podFailurePolicy!.rules;
    expect(first?.onExitCodes).toMatchObject({ containerName: 'km-backup', values: [1, 2, 5, 7] });
    expect(second).toEqual({
      action: 'FailJob',
      onExitCodes: { containerName: 'script', operator: 'NotIn', values: [0] },
    });
  });

  it('leaves the pod as it is without one', () => {
    const { initContainers, containers } = buildRestoreJob(
      restoreWith(undefined),
      'stage',
      settings,
      undefined,
      undefined,
    ).spec.template.spec!;
    expect([initContainers, containers.map(({ name }) => name)]).toEqual([undefined, ['km-backup']]);
  });
});

type State = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number]['state'];

const report = (outcome: RestoreResult['outcome']): RestoreResult => ({
  version: 1,
  command: 'restore',
  outcome,
  reason: outcome === 'Succeeded' ? 'Restored' : 'ArchiveCorrupt',
  message: outcome === 'Succeeded' ? 'done' : 'It is damaged.',
  startedAt: '2026-03-01T02:00:00Z',
  finishedAt: '2026-03-01T02:00:01Z',
  warnings: { count: 0, samples: [] },
});
const restored = (outcome: RestoreResult['outcome'] = 'Succeeded'): State => ({
  terminated: { exitCode: outcome === 'Succeeded' ? 0 : 5, message: JSON.stringify(report(outcome)) },
});
const job = (condition?: string): Job => ({
  metadata,
  status: condition ? { conditions: [{ type: condition, status: 'True' }] } : {},
});
const pod = (restore: State, scripted?: State): Pod => ({
  metadata,
  spec: {},
  status: {
    phase: 'Pending',
    initContainerStatuses: [{ name: 'km-backup', ...(restore && { state: restore }) }],
    containerStatuses: [{ name: 'script', ...(scripted && { state: scripted }) }],
  },
});

describe('what a Job with a script came to', () => {
  const waiting: State = { waiting: { reason: 'PodInitializing' } };
  const running: State = { running: { startedAt: '2026-03-01T02:00:00Z' } };
  const cases: [string, Job, Pod[], object][] = [
    ['it restores', job(), [pod(running, waiting)], { state: 'active', message: '' }],
    ['the script is to come', job(), [pod(restored(), waiting)], { state: 'active' }],
    ['the script runs', job(), [pod(restored(), running)], { state: 'active' }],
    [
      'the script found nothing wrong',
      job(),
      [pod(restored(), { terminated: { exitCode: 0 } })],
      { state: 'succeeded', result: { outcome: 'Succeeded' } },
    ],
    [
      'the script found something wrong',
      job(),
      [pod(restored(), { terminated: { exitCode: 3, message: 'no orders since Friday\n' } })],
      {
        state: 'failed',
        reason: 'ScratchScriptFailed',
        message: 'The script exited with 3: no orders since Friday',
      },
    ],
    [
      'the archive is damaged, so no script runs',
      job('Failed'),
      [pod(restored('Failed'), waiting)],
      { state: 'failed', reason: 'ArchiveCorrupt', message: 'It is damaged.' },
    ],
  ];
  it.each(cases)('%s', (_, of, pods, expected) =>
    expect(stateOfRestoreJob(of, pods)).toMatchObject(expected),
  );

  it('has no deadline of its start while it restores, but before', () => {
    expect(stateOfRestoreJob(job(), [pod(running, waiting)])).not.toHaveProperty('start');
    expect(stateOfRestoreJob(job(), [pod(waiting, waiting)])).toHaveProperty('start');
  });
});
