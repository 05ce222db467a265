import { describe, expect, it } from 'vitest';
import type { KmBackup } from '../api/backup.ts';
import { customResourceDefinition, RESOURCES } from '../api/crd.ts';
import { GROUP } from '../api/names.ts';
import { pod, schedule, scheduledBackup } from '../operator/testing/fixtures.ts';
import type { Pod } from '../operator/workloads.ts';
import { doctor } from './doctor.ts';
import type { Claim, Definition, Diagnosed } from './doctor-observe.ts';
import { RIGHTS } from './rights.ts';

const NOW = Date.parse('2026-03-01T02:00:00Z');
const meta = (name: string) => ({
  name,
  namespace: 'team',
  uid: name,
  resourceVersion: '1',
  creationTimestamp: '2026-03-01T00:00:00Z',
});

const definition = (plural: string): Definition => {
  const ours = RESOURCES.find((one) => one.plural === plural)!;
  return JSON.parse(JSON.stringify(customResourceDefinition(ours))) as Definition;
};
const current = new Map(RESOURCES.map(({ plural }) => [`${plural}.${GROUP}`, definition(plural)]));

/** The CRD of schedules as an earlier version had it. */
function outdated(): Definition {
  const old = definition('kmbackupschedules') as unknown as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: { properties: object } } } } }[] };
  };
  const { properties } = old.spec.versions[0]!.schema.openAPIV3Schema.properties.spec;
  delete (properties as Record<string, unknown>)['podTemplate'];
  return old as unknown as Definition;
}

const claim = (name: string, rest: Partial<Claim> = {}): Claim => ({
  metadata: meta(name),
  spec: { accessModes: ['ReadWriteOnce'] },
  status: { phase: 'Bound', capacity: { storage: '10Gi' } },
  ...rest,
});

const deployment = {
  namespace: 'km-system',
  name: 'km-backup-operator',
  wanted: 1,
  ready: 1,
  namespaces: [],
  image: 'km:1',
  lease: { holder: 'one', renewTime: new Date(NOW - 2000).toISOString(), durationSeconds: 15 },
};

const well: Diagnosed = {
  namespace: 'team',
  nowMs: NOW,
  rights: RIGHTS.map((right) => ({ right, allowed: true })),
  definitions: current,
  operator: { state: 'known', deployments: [deployment] },
  quotas: [],
  claims: [claim('state'), claim('archives')],
  pods: [],
  schedules: [schedule({ destination: { persistentVolumeClaim: { claimName: 'archives' } } })],
  backups: [],
};

const mounting = (name: string, claimName: string, nodeName: string): Pod => ({
  metadata: meta(name),
  spec: { nodeName, volumes: [{ name: 'v', persistentVolumeClaim: { claimName } }] },
  status: { phase: 'Running' },
});
const stuck = (reason: string, message: string): Pod => {
  const one = pod({ waiting: { reason, message } }, { phase: 'Pending' });
  return { ...one, metadata: { ...one.metadata, labels: { 'app.kubernetes.io/name': 'km-backup' } } };
};
const quota = (what: string, hard: string, used: string) => [
  { metadata: meta('q'), status: { hard: { [what]: hard }, used: { [what]: used } } },
];
const fullRun = (): KmBackup =>
  scheduledBackup(NOW, { phase: 'Failed', reason: 'NoSpace', message: 'no space left' });
const withRun = (run: KmBackup) => schedule({}, { lastBackup: { name: run.metadata.name, phase: 'Failed' } });

it('finds nothing wrong with what is well', () => {
  const checks = doctor(well);
  expect(checks.map(({ state }) => state)).toEqual(checks.map(() => 'ok'));
  expect(checks.map(({ name }) => name)).toEqual([
    'CRDs',
    'Operator',
    'Clock',
    'Permissions',
    'Quotas',
    'Claims',
    'Nodes',
    'Pods',
    'Volumes',
  ]);
});

describe('the first line names the cause', () => {
  it.each<[string, Partial<Diagnosed>, string, RegExp]>([
    ['no CRDs', { definitions: new Map() }, 'problem', /^The CRD kmbackupschedules\.\S+ is not installed/],
    [
      'an outdated CRD',
      { definitions: new Map([...current, [`kmbackupschedules.${GROUP}`, outdated()]]) },
      'problem',
      /kmbackupschedules\.\S+ is outdated: it lacks spec\.podTemplate\./,
    ],
    [
      'no operator',
      { operator: { state: 'known', deployments: [] } },
      'problem',
      /^The operator is not installed/,
    ],
    [
      'an operator that is scaled to zero',
      { operator: { state: 'known', deployments: [{ ...deployment, wanted: 0, ready: 0 }] } },
      'problem',
      /^The operator is down: 0 of 0 pods/,
    ],
    [
      'an operator whose image is missing',
      {
        operator: {
          state: 'known',
          deployments: [{ ...deployment, ready: 0, trouble: 'pod o: ImagePullBackOff: x' }],
        },
      },
      'problem',
      /ready \(pod o: ImagePullBackOff: x\)/,
    ],
    [
      'an operator of other namespaces',
      { operator: { state: 'known', deployments: [{ ...deployment, namespaces: ['a', 'b'] }] } },
      'problem',
      /^No operator serves namespace team: .* serves a, b only/,
    ],
    [
      'a Lease that nobody renews',
      {
        operator: {
          state: 'known',
          deployments: [{ ...deployment, lease: { ...deployment.lease, renewTime: '2026-03-01T01:00:00Z' } }],
        },
      },
      'problem',
      /nobody has renewed the Lease .* since 2026-03-01T01:00:00Z/,
    ],
    [
      'a clock that is behind',
      {
        operator: {
          state: 'known',
          deployments: [{ ...deployment, lease: { ...deployment.lease, renewTime: '2026-03-01T02:01:00Z' } }],
        },
      },
      'warning',
      /^The clock here is at least 60 s behind/,
    ],
    [
      'a missing right',
      { rights: RIGHTS.map((right) => ({ right, allowed: right.subresource !== 'exec' })) },
      'warning',
      /^You may not create pods\/exec in namespace team, which these commands need: ls, cat/,
    ],
    [
      'a full quota',
      { quotas: quota('pods', '10', '10') },
      'problem',
      /^ResourceQuota q: 10 of 10 pods are used/,
    ],
    [
      'an almost full quota',
      { quotas: quota('requests.memory', '1Gi', '1000Mi') },
      'warning',
      /1000Mi of 1Gi/,
    ],
    [
      'a missing claim',
      { claims: [claim('state')] },
      'problem',
      /^Schedule notes: there is no claim archives/,
    ],
    [
      'a raw block device',
      { claims: [claim('state', { spec: { volumeMode: 'Block' } }), claim('archives')] },
      'problem',
      /claim state is a raw block device/,
    ],
    [
      'a claim that lost its volume',
      { claims: [claim('state', { status: { phase: 'Lost' } }), claim('archives')] },
      'problem',
      /claim state has lost its volume/,
    ],
    [
      'claims on different nodes',
      { pods: [mounting('a', 'state', 'node-1'), mounting('b', 'archives', 'node-2')] },
      'problem',
      /state is mounted on node node-1 and claim archives on node node-2/,
    ],
    [
      'an image that is not pulled',
      { pods: [stuck('ErrImagePull', 'not found')] },
      'problem',
      /^Pod notes-pod: The node cannot pull the image of the Job\. not found/,
    ],
    [
      'a full volume',
      { schedules: [withRun(fullRun())], backups: [fullRun()] },
      'problem',
      /the volume of its archives is full\. no space left/,
    ],
    [
      'a volume that is almost full',
      { schedules: [schedule({}, { archives: { count: 3, bytes: 9.9 * 2 ** 30 } })] },
      'warning',
      /its archives alone take 99 % of claim state/,
    ],
    ['rights that nobody tells', { rights: 'denied' }, 'unknown', /does not say what you may do/],
    ['what may not be seen', { operator: { state: 'denied' } }, 'unknown', /You may not see the Deployment/],
  ])('%s', (_, broken, state, message) => {
    const [first] = doctor({ ...well, ...broken });
    expect(first).toMatchObject({ state, message: expect.stringMatching(message) });
  });
});

it('checks what it may see when the rest is denied', () => {
  const denied = {
    quotas: 'denied',
    claims: 'denied',
    pods: 'denied',
    schedules: 'denied',
    backups: 'denied',
  } as const;
  const states = doctor({ ...well, ...denied }).map(({ name, state }) => `${name} ${state}`);
  expect(states).toEqual([
    'Quotas unknown',
    'Claims unknown',
    'Pods unknown',
    'CRDs ok',
    'Operator ok',
    'Clock ok',
    'Permissions ok',
  ]);
});
