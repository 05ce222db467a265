import { describe, expect, it } from 'vitest';
import type { KmBackupStatus } from '../api/backup.ts';
import { API_VERSION } from '../api/names.ts';
import { KmRestoreSpec, type KmRestoreStatus } from '../api/restore.ts';
import { job, pod, schedule, scheduledBackup } from '../operator/testing/fixtures.ts';
import type { Pod } from '../operator/workloads.ts';
import { overviewOfResources } from '../overview/index.ts';
import type { KubeEvent, Observed, ObservedRun } from './observe.ts';
import type { OperatorDeployment, OperatorState } from './operator-state.ts';
import { why } from './why.ts';

const SLOT = Date.parse('2026-03-01T01:00:00Z');
const NOW = SLOT + 3_600_000;

const deployment: OperatorDeployment = {
  namespace: 'km-system',
  name: 'km-backup-operator',
  wanted: 1,
  ready: 1,
  namespaces: [],
  lease: { holder: 'one', renewTime: new Date(NOW - 2000).toISOString(), durationSeconds: 15 },
};
const running: OperatorState = { state: 'known', deployments: [deployment] };
const but = (fields: Partial<OperatorDeployment>): OperatorState => ({
  state: 'known',
  deployments: [{ ...deployment, ...fields }],
});

const event = (reason: string, note: string, type = 'Warning'): KubeEvent => ({
  metadata: {
    name: reason,
    namespace: 'team',
    uid: reason,
    resourceVersion: '1',
    creationTimestamp: '2026-03-01T01:01:00Z',
  },
  type,
  reason,
  note,
});

const run = (status: KmBackupStatus | undefined, rest: Partial<ObservedRun> = {}): Observed => {
  const backup = scheduledBackup(SLOT, status);
  return {
    subject: { kind: 'KmBackup', object: backup },
    nowMs: NOW,
    operator: running,
    events: [],
    run: { backup, pods: [], events: [], log: [], ...rest },
  };
};

const failed = (reason: string, message: string): Observed => run({ phase: 'Failed', reason, message });

/** A run whose Job has this pod. */
const inPod = (one: Pod, events: KubeEvent[] = []): Observed =>
  run(
    { phase: 'Pending', reason: 'PodStarting', message: 'Pod notes-pod is starting.' },
    { job: job(scheduledBackup(SLOT)), pods: [one], events },
  );
const waitsFor = (reason: string, message: string): Observed =>
  inPod(pod({ waiting: { reason, message } }, { phase: 'Pending' }));
const unschedulable = (message: string): Observed =>
  inPod({
    ...pod({}, { phase: 'Pending', containerStatuses: [] }),
    status: {
      phase: 'Pending',
      conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }],
    },
  });

const condition = (type: string, status: 'True' | 'False', reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: '2026-02-28T00:00:00Z',
});
const scheduled = condition('Ready', 'True', 'Scheduled', 'hourly');
const ofSchedule = (
  spec: Record<string, unknown>,
  status: Parameters<typeof schedule>[1],
  rest: Partial<Observed> = {},
): Observed => {
  const object = schedule(spec, status);
  const backups = rest.run ? [rest.run.backup] : [];
  const [overview] = overviewOfResources({ schedules: [object], backups, restores: [] }, NOW).schedules;
  return {
    subject: { kind: 'KmBackupSchedule', object },
    nowMs: NOW,
    operator: running,
    events: [],
    overview,
    ...rest,
  };
};

const restore = (status: KmRestoreStatus | undefined, rest: Partial<Observed> = {}): Observed => ({
  subject: {
    kind: 'KmRestore',
    object: {
      apiVersion: API_VERSION,
      kind: 'KmRestore',
      metadata: {
        name: 'back',
        namespace: 'team',
        uid: 'u',
        resourceVersion: '1',
        creationTimestamp: '2026-03-01T01:00:00Z',
      },
      spec: KmRestoreSpec.parse({
        source: { scheduleName: 'notes' },
        target: { persistentVolumeClaim: { claimName: 'state' } },
      }),
      ...(status && { status }),
    },
  },
  nowMs: NOW,
  operator: running,
  events: [],
  ...rest,
});

describe('the first line names the cause, and something can be done about it', () => {
  it.each<[string, Observed, RegExp, RegExp]>([
    [
      'no permission to read the source',
      run({
        phase: 'Incomplete',
        reason: 'FilesNotCaptured',
        message: '2 files could not be read (EACCES). The Job ran as user 65532.',
      }),
      /is incomplete: 2 files could not be read \(EACCES\)/,
      /spec\.podTemplate\.runAsUser/,
    ],
    [
      'a destination that is not writable',
      failed('DestinationUnusable', '/destination/backups: cannot write (EACCES): owned by 1000.'),
      /failed: \/destination\/backups: cannot write \(EACCES\)/,
      /Run as a user that may write it/,
    ],
    [
      'a full volume',
      failed('NoSpace', '/destination: no space left (ENOSPC).'),
      /failed: \/destination: no space left/,
      /Enlarge the claim/,
    ],
    [
      'a quota on Jobs',
      run({
        phase: 'Pending',
        reason: 'JobForbidden',
        message: 'jobs.batch "x" is forbidden: exceeded quota: q',
      }),
      /waits: A ResourceQuota of the namespace is used up\. .*exceeded quota: q/,
      /kubectl describe quota/,
    ],
    [
      'a quota on pods, which only an Event says',
      run(
        { phase: 'Pending', reason: 'WaitingForPod', message: 'Job has not created a pod.' },
        {
          job: job(scheduledBackup(SLOT)),
          events: [event('FailedCreate', 'pods "x" is forbidden: exceeded quota: q')],
        },
      ),
      /cannot start: A ResourceQuota of the namespace is used up/,
      /Free or raise the quota/,
    ],
    [
      'a missing claim',
      failed('ClaimNotFound', 'There is no PersistentVolumeClaim state in namespace team.'),
      /failed: There is no PersistentVolumeClaim state/,
      /Create the claim/,
    ],
    [
      'an image that is not pulled',
      waitsFor('ImagePullBackOff', 'Back-off pulling image "x:1"'),
      /cannot start: The node cannot pull the image of the Job\. Back-off pulling image "x:1"/,
      /image\.repository/,
    ],
    [
      'a claim on another node',
      failed('ClaimsOnDifferentNodes', 'Claim state is mounted on node a and claim archives on node b.'),
      /failed: Claim state is mounted on node a and claim archives on node b/,
      /ReadWriteMany/,
    ],
    [
      'a volume that only another node can mount',
      unschedulable('0/2 nodes are available: 1 node(s) had volume node affinity conflict.'),
      /cannot start: The volume can only be mounted on a node that the pod may not go to/,
      /kubectl get pv/,
    ],
    [
      'a volume attached elsewhere',
      inPod(pod({ waiting: { reason: 'ContainerCreating' } }, { phase: 'Pending' }), [
        event('FailedAttachVolume', 'Multi-Attach error for volume "pvc-1"'),
      ]),
      /cannot start: The volume is attached to another node/,
      /ReadWriteMany/,
    ],
    [
      'no room on the nodes',
      unschedulable('0/1 nodes are available: 1 Insufficient memory.'),
      /No node has room for the pod/,
      /spec\.podTemplate\.resources/,
    ],
    [
      'a script that does not exist',
      waitsFor('CreateContainerConfigError', 'configmap "backup-script" not found'),
      /Something that the pod needs does not exist/,
      /Create what the message names/,
    ],
    [
      'a deadline exceeded',
      failed('DeadlineExceeded', 'km-backup ran for longer than 60 s.'),
      /failed: km-backup ran for longer than 60 s/,
      /Raise the deadline/,
    ],
    [
      'too little memory',
      failed('OutOfMemory', 'The pod was killed.'),
      /failed: The pod was killed/,
      /limits\.memory/,
    ],
    [
      'an operator that is down',
      {
        ...run({ phase: 'Pending', reason: 'WaitingForRun', message: 'x' }),
        operator: but({ ready: 0, trouble: 'pod o: CrashLoopBackOff' }),
      },
      /^The operator is down: 0 of 1 pods of Deployment km-system\/km-backup-operator are ready \(pod o: CrashLoopBackOff\)/,
      /kubectl -n km-system describe pods/,
    ],
    [
      'an operator that hangs',
      {
        ...ofSchedule({}, { conditions: [scheduled] }),
        operator: but({ lease: { holder: 'x', renewTime: '2026-03-01T01:00:00Z', durationSeconds: 15 } }),
      },
      /^The operator does not work: nobody has renewed the Lease/,
      /logs deployment/,
    ],
    [
      'no operator',
      { ...ofSchedule({}, undefined), operator: { state: 'known', deployments: [] } },
      /^The operator is not installed/,
      /docs\/install\.md/,
    ],
    [
      'an operator of other namespaces',
      { ...ofSchedule({}, undefined), operator: but({ namespaces: ['other'] }) },
      /^No operator serves namespace team: km-system\/km-backup-operator serves other only/,
      /chart's value `namespaces`/,
    ],
    [
      'an operator that nobody may see',
      { ...ofSchedule({}, undefined), operator: { state: 'denied' } },
      /^notes: The operator has recorded nothing about this schedule/,
      /Check that the operator runs/,
    ],
    [
      'a suspended schedule',
      ofSchedule({ suspend: true }, { conditions: [condition('Ready', 'True', 'Suspended', 'x')] }),
      /notes is suspended/,
      /kubectl km resume notes -n team/,
    ],
    [
      'a schedule that never comes',
      ofSchedule({}, { conditions: [condition('Ready', 'False', 'NeverDue', 'February 30 never comes.')] }),
      /notes: February 30 never comes/,
      /Correct `spec\.cron`/,
    ],
    [
      'a schedule whose last run failed',
      ofSchedule(
        {},
        { conditions: [scheduled] },
        { run: failed('SourceEmpty', 'The source holds no files.').run },
      ),
      /^notes-\S+ failed: The source holds no files/,
      /spec\.source\.allowEmpty/,
    ],
    [
      'a restore of a claim in use',
      restore({ phase: 'Failed', reason: 'ClaimInUse', message: 'Claim state is mounted by app-1.' }),
      /^back failed: Claim state is mounted by app-1/,
      /Stop that pod/,
    ],
    [
      'a restore that waits for another',
      restore({ phase: 'Pending', reason: 'OldStateKept', message: 'KmRestore first keeps the state.' }),
      /^back \(team\) is Pending: KmRestore first keeps the state/,
      /old-state=commit/,
    ],
  ])('%s', (_, observed, cause, todo) => {
    const explained = why(observed);
    expect(explained.cause).toMatch(cause);
    expect(explained.todo.join('\n')).toMatch(todo);
    expect(explained.verdict).not.toBe('fine');
  });
});

describe('what is well is called so', () => {
  it.each<[string, Observed, RegExp, string]>([
    [
      'a run that succeeded',
      run({ phase: 'Succeeded', reason: 'ArchiveVerified', message: 'Written.' }),
      /succeeded: Written/,
      'fine',
    ],
    [
      'a run under way',
      inPod(pod({ running: {} }, { phase: 'Running' })),
      /is running in pod notes-pod on node node-1/,
      'running',
    ],
    [
      'a run that has just begun',
      inPod(pod({ waiting: { reason: 'ContainerCreating' } }, { phase: 'Pending' })),
      /is starting/,
      'waiting',
    ],
    [
      'a new run',
      { ...run(undefined), nowMs: SLOT + 1000, operator: { state: 'denied' } },
      /is new/,
      'waiting',
    ],
    [
      'a healthy schedule',
      ofSchedule(
        {},
        {
          conditions: [scheduled],
          lastSuccessfulTime: '2026-03-01T01:00:07Z',
          nextScheduleTime: '2026-03-01T02:00:00Z',
        },
      ),
      /healthy: its last complete archive is of 2026-03-01T01:00:07Z\. The next run is due at 2026-03-01T02:00:00Z/,
      'fine',
    ],
    [
      'a schedule without a run',
      ofSchedule({}, { conditions: [scheduled] }),
      /has made no archive yet/,
      'fine',
    ],
    [
      'a plan',
      restore({ phase: 'Planned', reason: 'PlanMade', message: 'Would add 1.' }),
      /is a plan/,
      'fine',
    ],
    [
      'a restore under way',
      restore({ phase: 'Restoring', reason: 'Staging', message: 'Unpacks.' }),
      /is Restoring: Unpacks/,
      'running',
    ],
  ])('%s', (_, observed, cause, verdict) => {
    expect(why(observed)).toMatchObject({ verdict, cause: expect.stringMatching(cause) });
  });
});

it('shows what it follows from: conditions, the pod, Events and last words', () => {
  const seen = why({
    ...inPod(pod({ running: {} }, { phase: 'Running' }), [event('Pulled', 'Image is there', 'Normal')]),
    events: [event('BackupCreated', 'A run was created', 'Normal')],
  });
  expect(seen.facts.map(({ label }) => label)).toEqual(['Job', 'Pod', 'Event', 'Event']);
  expect(seen.facts.at(-1)!.text).toMatch(/^59 min ago, /);
});
