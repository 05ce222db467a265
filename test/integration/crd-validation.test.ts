import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { type Resources, resources } from '../../src/operator/resources.ts';

const API = { apiVersion: 'km.duskmantle.io/v1alpha1' };
const SOURCE = { persistentVolumeClaim: { claimName: 'state' } };

let client: KubeClient;
let all: Resources;

beforeAll(async () => {
  client = new KubeClient(await fromKubeconfig(inject('kubeconfig')));
  all = resources(client);
});
afterAll(() => client.close());

/** Asks the API server without keeping anything; gives its refusal. */
async function refusal(kind: string, spec: object): Promise<string | undefined> {
  const plural = `${kind.toLowerCase()}s`;
  try {
    await client.request({
      method: 'POST',
      path: `/apis/${API.apiVersion}/namespaces/default/${plural}`,
      query: { dryRun: 'All', fieldValidation: 'Strict' },
      body: { ...API, kind, metadata: { name: 'asked' }, spec },
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    return error.message;
  }
}

/** The same fields in a Job, as the operator puts them there. */
async function jobRefusal(podTemplate: object): Promise<string | undefined> {
  const { labels, annotations, resources: amounts, ...pod } = podTemplate as Record<string, unknown>;
  const containers = [{ name: 'km-backup', image: 'km-backup', resources: amounts }];
  try {
    await client.request({
      method: 'POST',
      path: '/apis/batch/v1/namespaces/default/jobs',
      query: { dryRun: 'All', fieldValidation: 'Strict' },
      body: {
        apiVersion: 'batch/v1',
        kind: 'Job',
        metadata: { name: 'asked', labels, annotations },
        spec: {
          template: {
            metadata: { labels, annotations },
            spec: { ...pod, containers, restartPolicy: 'Never' },
          },
        },
      },
    });
    return undefined;
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    return error.message;
  }
}

const scheduleRefusal = (spec: object) => refusal('KmBackupSchedule', { source: SOURCE, ...spec });

describe('what the API server refuses of a schedule, in words that help', () => {
  const claims = (more: object) => ({ source: { persistentVolumeClaim: { claimName: 'state', ...more } } });
  const drill = (more: object) => ({ drill: { scratch: { size: '1Gi' }, ...more } });
  const cases: [name: string, spec: object, words: string][] = [
    ['too few cron fields', { cron: '* * * *' }, 'must be 5 fields'],
    ['too many cron fields', { cron: '0 0 * * * *' }, 'must be 5 fields'],
    ['a minute that is none', { cron: '99 * * * *' }, 'must be 5 fields'],
    ['an hour that is none', { cron: '0 25 * * *' }, 'must be 5 fields'],
    ['a weekday that is none', { cron: '0 0 * * 8' }, 'must be 5 fields'],
    ['@every', { cron: '@every 5m' }, '@hourly'],
    ['an interval below a minute', { intervalMinutes: 0 }, 'greater than or equal to 1'],
    ['an unknown zone', { timeZone: 'Mars/Olympus' }, 'IANA'],
    ["the operator's own zone", { timeZone: 'Local' }, 'IANA'],
    ['an offset for a zone', { timeZone: '+02:00' }, 'IANA'],
    ['no source', { source: undefined }, 'spec.source: Required value'],
    ['no claim', { source: { persistentVolumeClaim: {} } }, 'claimName: Required value'],
    ['a claim that is no name', claims({ claimName: 'A b' }), 'must be the name of an object'],
    ['an absolute folder', claims({ subPath: '/var' }), 'must be relative'],
    ['a folder outside the claim', claims({ subPath: 'a/../../b' }), 'must not contain ".."'],
    ['a folder with a line break', claims({ subPath: 'a\nb' }), 'control characters'],
    ['an absolute destination', { destination: { path: '/backups' } }, 'must be relative'],
    ['a destination outside the claim', { destination: { path: '..' } }, 'must not contain ".."'],
    [
      'archives in place of the source',
      { ...claims({ subPath: 'a' }), destination: { path: 'a' } },
      'must not replace the source',
    ],
    [
      'archives in place of the source, written another way',
      { ...claims({ subPath: 'a/b' }), destination: { path: 'a/b/' } },
      'must not replace the source',
    ],
    ['archives in place of the whole claim', { destination: { path: '.' } }, 'must be written plainly'],
    ['a folder written in a roundabout way', claims({ subPath: 'a/./b' }), 'must be written plainly'],
    ['a folder without a name', claims({ subPath: 'a//b' }), 'must be written plainly'],
    ['a negative limit', { retention: { limit: -1 } }, 'greater than or equal to 0'],
    ['an age without a unit', { retention: { maxAge: '30' } }, '"30d"'],
    ['a gzip level of zstd', { compression: { format: 'gzip', level: 19 } }, '1 to 12'],
    ['root', { podTemplate: { runAsUser: 0 } }, 'greater than or equal to 1'],
    [
      'a user that is elevated',
      { podTemplate: { elevated: true, runAsUser: 7 } },
      'leave runAsUser and runAsGroup out',
    ],
    [
      'an elevated script',
      { podTemplate: { elevated: true }, script: { configMapKeyRef: { name: 'scripts', key: 'run.sh' } } },
      'a script cannot run elevated',
    ],
    ['a policy that is none', { concurrencyPolicy: 'Allow' }, 'supported values: "Forbid", "Replace"'],
    ['an image', { podTemplate: { image: 'mine' } }, 'unknown field "spec.podTemplate.image"'],
    [
      'a service account',
      { podTemplate: { serviceAccountName: 'admin' } },
      'unknown field "spec.podTemplate.serviceAccountName"',
    ],
    ['a drill of no time', { drill: { scratch: { size: '1Gi' } } }, 'exactly one of cron (a time) and every'],
    ['a drill of both', drill({ cron: '@daily', every: 2 }), 'exactly one of cron (a time) and every'],
    ['a drill of a time that never comes', drill({ cron: '0 0 31 2 *' }), 'never comes'],
    ['a drill after no archive', drill({ every: 0 }), 'greater than or equal to 1'],
    ['a drill of archives in a zone', drill({ every: 1, timeZone: 'Etc/UTC' }), 'timeZone needs cron'],
    ['a drill of an archive of no age', drill({ every: 1, maxArchiveAge: '0' }), 'longer than 0'],
    ['a drill without room', drill({ every: 1, scratch: { size: '0' } }), 'positive quantity'],
    ['a drill without scratch space', { drill: { every: 1 } }, 'spec.drill.scratch: Required value'],
    ['a drill from nowhere', drill({ every: 1, from: {} }), 'spec.drill.from.locationRef: Required value'],
    [
      'a drill after copies that are not made',
      drill({ every: 1, from: { locationRef: { name: 'offsite' } } }),
      'name it in copies, or use drill.cron',
    ],
    ['a drill that restores paths', drill({ every: 1, paths: ['a'] }), 'unknown field "spec.drill.paths"'],
    ['a command', { command: ['sh'] }, 'unknown field "spec.command"'],
  ];
  it.each(cases)('%s', async (_name, spec, words) => {
    expect(await scheduleRefusal(spec)).toContain(words);
  });
});

const node = (requirement: object) => ({
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [requirement] }],
      },
    },
  },
});

describe('what it refuses of the pods, where the Job would fail later', () => {
  const near = (term: object) => ({
    affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } },
  });
  const limits = (amounts: object) => ({ resources: { limits: amounts } });
  const cases: [name: string, podTemplate: object, words: string][] = [
    ['a quantity with an unknown unit', limits({ memory: '1Gb' }), 'resources.limits.memory'],
    ['a quantity in words', limits({ cpu: 'two' }), 'resources.limits.cpu'],
    ['a negative quantity', limits({ memory: '-1Gi' }), 'resources.limits.memory'],
    ['a negative number', limits({ cpu: -1 }), 'greater than or equal to 0'],
    ['an empty quantity', limits({ cpu: '' }), 'resources.limits.cpu'],
    ['a boolean', limits({ cpu: true }), 'resources.limits.cpu'],
    ['a resource that is misspelt', limits({ memroy: '1Gi' }), 'each name must be cpu, memory'],
    [
      'a request above its limit',
      { resources: { requests: { cpu: 2 }, limits: { cpu: '1500m' } } },
      'must not be larger than the limit',
    ],
    ['a label with a space', { labels: { team: 'two words' } }, 'podTemplate.labels.team'],
    ['a label that is a number', { labels: { team: 7 } }, 'must be of type string'],
    ['a label above 63 characters', { labels: { team: 'x'.repeat(64) } }, 'podTemplate.labels.team'],
    ['a label whose name has a space', { labels: { 'a team': 'x' } }, 'each key must be a name'],
    ['a label whose domain is none', { labels: { 'A_b/team': 'x' } }, 'each key must be a name'],
    ['a label whose domain is too long', { labels: { [`${'x.'.repeat(127)}x/team`]: 'x' } }, 'each key'],
    ['a label of the Job controller', { labels: { 'job-name': 'x' } }, 'belong to the Job controller'],
    [
      'a new label of the Job controller',
      { labels: { 'batch.kubernetes.io/job-name': 'x' } },
      'belong to the Job controller',
    ],
    ['an annotation without a name', { annotations: { 'example.com/': 'x' } }, 'each key must be a name'],
    ['an annotation that is no string', { annotations: { on: true } }, 'must be of type string'],
    ['a node selector that is no string', { nodeSelector: { ssd: true } }, 'must be of type string'],
    ['a node selector with a bad value', { nodeSelector: { disk: 'a b' } }, 'nodeSelector.disk'],
    ['a node selector with a bad name', { nodeSelector: { '-disk': 'x' } }, 'each key must be a name'],
    ['an unknown kind of affinity', { affinity: { nodeAfinity: {} } }, 'unknown field'],
    ['an affinity that is a list', { affinity: { nodeAffinity: [] } }, 'must be of type object'],
    ['an operator that is none', node({ key: 'disk', operator: 'Is', values: ['a'] }), 'supported values'],
    ['values missing', node({ key: 'disk', operator: 'In' }), 'needs values'],
    ['values too many', node({ key: 'disk', operator: 'Exists', values: ['a'] }), 'takes no values'],
    [
      'values that are no list',
      node({ key: 'disk', operator: 'In', values: 'ssd' }),
      'must be of type array',
    ],
    [
      'no term at all',
      {
        affinity: {
          nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [] } },
        },
      },
      'at least 1 items',
    ],
    ['no topology', near({ labelSelector: {} }), 'topologyKey: Required value'],
    [
      'a weight of 0',
      {
        affinity: {
          podAffinity: {
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 0, podAffinityTerm: { topologyKey: 'zone' } },
            ],
          },
        },
      },
      'greater than or equal to 1',
    ],
    [
      'a selector without values',
      near({ topologyKey: 'zone', labelSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } }),
      'needs values',
    ],
    [
      'a toleration of an unknown effect',
      { tolerations: [{ key: 'a', effect: 'NoRun' }] },
      'supported values',
    ],
    ['a toleration that is a string', { tolerations: ['a'] }, 'must be of type object'],
    [
      'a toleration with a value it ignores',
      { tolerations: [{ key: 'a', operator: 'Exists', value: 'b' }] },
      'value must be absent',
    ],
    [
      'a toleration without a key',
      { tolerations: [{ operator: 'Equal', value: 'b' }] },
      'operator must be Exists',
    ],
    [
      'seconds without NoExecute',
      { tolerations: [{ key: 'a', operator: 'Exists', tolerationSeconds: 5 }] },
      'NoExecute',
    ],
    [
      'a toleration with a bad key',
      { tolerations: [{ key: 'a b', operator: 'Exists' }] },
      'tolerations[0].key',
    ],
    ['a priority class with two dots', { priorityClassName: 'a..b' }, 'must be the name of an object'],
  ];
  it.each(cases)('%s', async (_name, podTemplate, words) => {
    expect(await scheduleRefusal({ podTemplate })).toContain(words);
    // Kubernetes itself would refuse the Job.
    expect(await jobRefusal(podTemplate)).toBeDefined();
  });
});

it('refuses a comparison with words, which Kubernetes takes and no node ever fulfils', async () => {
  const { affinity } = node({ key: 'cpus', operator: 'Gt', values: ['a'] });
  expect(await scheduleRefusal({ podTemplate: { affinity } })).toContain('one whole number');
});

describe('a date that never comes, and a range that runs backwards', () => {
  const never = ['0 0 31 2 *', '0 0 30 feb *', '0 0 31 4,6,9,11 *', '0 0 31/2 4-7/2 */1', '0 0 30-31 02 *'];
  it.each(never)('%s', async (cron) => {
    expect(await scheduleRefusal({ cron })).toContain('names a date that never comes');
  });
  it.each(['0 22-5 * * *', '0 0 * nov-feb *', '0 0 * * FRI-mon', 'H(9-3) * * * *'])('%s', async (cron) => {
    expect(await scheduleRefusal({ cron })).toContain('a range must run upwards');
  });
  it.each(['H(50-70) * * * *', '0 0 H(29-31) * *'])(
    '%s, beyond what every month or hour has',
    async (cron) => {
      expect(await scheduleRefusal({ cron })).toContain('must be 5 fields');
    },
  );
});

describe('what it takes', () => {
  const templates: [name: string, podTemplate: object][] = [
    [
      'whole numbers as quantities',
      { resources: { requests: { cpu: 1 }, limits: { cpu: 2, memory: 1073741824 } } },
    ],
    [
      'every way to write a quantity',
      {
        resources: {
          limits: { cpu: '.5', memory: '1.5Gi', 'ephemeral-storage': '1e9', 'example.com/gpu': '1' },
        },
      },
    ],
    ['a request equal to its limit', { resources: { requests: { cpu: '1000m' }, limits: { cpu: 1 } } }],
    ['labels with a domain', { labels: { 'example.com/team': 'a_b.C', plain: '' } }],
    [
      '32 labels',
      { labels: Object.fromEntries(Array.from({ length: 32 }, (_, index) => [`label-${index}`, 'x'])) },
    ],
    ['annotations of any text', { annotations: { 'vault.hashicorp.com/agent-inject': 'yes: {{ with }}\n' } }],
    [
      'tolerations of every kind',
      {
        tolerations: [
          { operator: 'Exists' },
          { key: 'a', value: 'b' },
          { key: 'a', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 60 },
        ],
      },
    ],
    [
      'a full affinity',
      {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [
                {
                  matchExpressions: [
                    { key: 'kubernetes.io/arch', operator: 'In', values: ['arm64'] },
                    { key: 'cpus', operator: 'Gt', values: ['4'] },
                  ],
                  matchFields: [{ key: 'metadata.name', operator: 'NotIn', values: ['n1'] }],
                },
              ],
            },
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 100, preference: { matchExpressions: [{ key: 'ssd', operator: 'Exists' }] } },
            ],
          },
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              {
                topologyKey: 'kubernetes.io/hostname',
                labelSelector: { matchLabels: { 'app.kubernetes.io/name': 'km-backup' } },
                namespaceSelector: {},
                namespaces: ['team-a'],
              },
            ],
          },
        },
      },
    ],
  ];
  it.each(templates)('%s', async (_name, podTemplate) => {
    expect(await scheduleRefusal({ podTemplate })).toBeUndefined();
    // Kubernetes itself agrees.
    expect(await jobRefusal(podTemplate)).toBeUndefined();
  });

  const crons = [
    '0 3 * * *',
    '*/5 1,2 1-31/2 JAN sun',
    'H H(0-3) * * mon-fri',
    'H/15 * * * *',
    '@daily',
    '@yearly',
    '59 23 31 12 7',
  ];
  it.each(crons)('cron %s', async (cron) => {
    expect(await scheduleRefusal({ cron })).toBeUndefined();
  });
  it.each(['Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+12', 'UTC'])(
    'zone %s',
    async (timeZone) => {
      expect(await scheduleRefusal({ timeZone })).toBeUndefined();
    },
  );
});

describe('a KmBackup', () => {
  it('needs the name of a schedule', async () => {
    expect(await refusal('KmBackup', {})).toContain('scheduleName: Required value');
  });

  it('cannot be changed', async () => {
    const made = await all.backups.create('default', {
      ...API,
      kind: 'KmBackup',
      metadata: { generateName: 'fixed-' },
      spec: { scheduleName: 'a' },
    });
    const change = all.backups.mergePatch('default', made.metadata.name, { spec: { scheduleName: 'b' } });
    await expect(change).rejects.toThrow('a run cannot be changed');
    await all.backups.delete('default', made.metadata.name);
  });
});

const RECIPIENT = `age1${'q'.repeat(58)}`;
const AGE = { encryption: { age: { recipients: [RECIPIENT] } } };
const s3 = (more: object = {}) => ({ s3: { bucket: 'backups', ...more }, ...AGE });
const share = { directory: { persistentVolumeClaim: { claimName: 'share' } } };

describe('a KmBackupLocation', () => {
  const refused: [name: string, spec: object, words: string][] = [
    ['neither bucket nor folder', AGE, 'exactly one of s3, directory'],
    ['both', { ...s3(), ...share }, 'exactly one of s3, directory'],
    ['no word on encryption', { s3: { bucket: 'backups' } }, 'spec.encryption: Required value'],
    ['an empty encryption', { ...s3(), encryption: {} }, 'none: true'],
    ['encryption that is off by a no', { ...s3(), encryption: { none: false } }, 'none: true'],
    ['encryption on and off', { ...s3(), encryption: { ...AGE.encryption, none: true } }, 'none: true'],
    ['no recipient', { ...s3(), encryption: { age: { recipients: [] } } }, 'at least 1 items'],
    [
      'a private key',
      { ...s3(), encryption: { age: { recipients: ['AGE-SECRET-KEY-1QQQ'] } } },
      'never an identity',
    ],
    ['an SSH key', { ...s3(), encryption: { age: { recipients: ['ssh-ed25519 AAAA'] } } }, 'age1'],
    ['a bucket with a path', s3({ bucket: 'a/b' }), 'must be the name of a bucket'],
    ['a prefix with a leading slash', s3({ prefix: '/a' }), 'must be parts of letters'],
    ['a prefix that climbs', s3({ prefix: 'a/../b' }), 'must be parts of letters'],
    ['a prefix with a line break', s3({ prefix: 'a\nb' }), 'must be parts of letters'],
    [
      'an endpoint with a password',
      s3({ endpoint: 'https://me:secret@s3.example.com' }),
      'without credentials',
    ],
    ['an endpoint with a path', s3({ endpoint: 'https://s3.example.com/bucket' }), 'without credentials'],
    ['an endpoint of another protocol', s3({ endpoint: 'file:///etc' }), 'address of the server'],
    ['keys in the open', s3({ accessKeyId: 'x' }), 'unknown field "spec.s3.accessKeyId"'],
    ['a lock on a folder', { ...share, ...AGE, objectLock: { days: 3 } }, 'objectLock needs s3'],
    ['a lock of no days', { ...s3(), objectLock: { days: 0 } }, 'greater than or equal to 1'],
    ['a limit in words', { ...s3(), bandwidthLimit: 'fast' }, 'bytes a second'],
    ['a check every second', { ...s3(), checkInterval: '1s' }, 'at least 1m'],
    ['a check never', { ...s3(), checkInterval: '0' }, 'at least 1m'],
    [
      'a folder outside the claim',
      { directory: { ...share.directory, path: '../x' }, ...AGE },
      'must not contain ".."',
    ],
  ];
  it.each(refused)('refuses %s', async (_name, spec, words) => {
    expect(await refusal('KmBackupLocation', spec)).toContain(words);
  });

  const taken: [name: string, spec: object][] = [
    ['a bucket on AWS', s3({ region: 'eu-central-1' })],
    [
      'a bucket elsewhere',
      {
        ...s3({
          endpoint: 'http://[fd00::1]:7070/',
          prefix: 'clusters/a_1.x',
          forcePathStyle: true,
          credentialsSecretRef: { name: 'keys' },
          caBundle: { configMapKeyRef: { name: 'ca' } },
        }),
        objectLock: { days: 30, mode: 'COMPLIANCE' },
        bandwidthLimit: '10Mi',
        checkInterval: '15m',
      },
    ],
    ['a share', { ...share, ...AGE }],
    ['copies in the open, if said', { ...share, encryption: { none: true } }],
  ];
  it.each(taken)('takes %s', async (_name, spec) => {
    expect(await refusal('KmBackupLocation', spec)).toBeUndefined();
  });
});

describe('copies of a schedule', () => {
  const to = (...names: string[]) => ({ copies: names.map((name) => ({ locationRef: { name } })) });

  it('go to each location once', async () => {
    expect(await scheduleRefusal(to('a', 'b'))).toBeUndefined();
    expect(await scheduleRefusal(to('a', 'b', 'a'))).toContain('must name each location once');
  });

  it('have a retention of their own', async () => {
    const copies = (limit: number) => ({ copies: [{ locationRef: { name: 'a' }, retention: { limit } }] });
    expect(await scheduleRefusal(copies(30))).toBeUndefined();
    expect(await scheduleRefusal(copies(-1))).toContain('greater than or equal to 0');
  });
});

describe('a KmRestore from a location', () => {
  const restore = (source: object) =>
    refusal('KmRestore', { source, target: { persistentVolumeClaim: { claimName: 'state' } } });
  const location = { name: 'offsite' };

  it('names one source', async () => {
    expect(await restore({ location })).toBeUndefined();
    expect(await restore({ location, scheduleName: 'a' })).toContain('exactly one of');
    expect(await restore({})).toContain('exactly one of');
  });

  it('asks for an archive or a time', async () => {
    const archive = 'km-backup-20260301T010000Z.tgz';
    const asOf = '2026-03-01T02:00:00Z';
    expect(await restore({ location: { ...location, archive, series: 'a/b' } })).toBeUndefined();
    expect(
      await restore({ location: { ...location, asOf, identitySecretRef: { name: 'key' } } }),
    ).toBeUndefined();
    expect(await restore({ location: { ...location, archive, asOf } })).toContain('archive or asOf');
  });
});

it('fills in the defaults of the playbook', async () => {
  const made = await all.schedules.create('default', {
    ...API,
    kind: 'KmBackupSchedule',
    metadata: { generateName: 'plain-' },
    spec: { source: SOURCE },
  });
  await all.schedules.delete('default', made.metadata.name);
  expect(made.spec).toMatchObject({
    suspend: false,
    intervalMinutes: 720,
    timeZone: 'Etc/UTC',
    destination: { path: 'backups/archives' },
    retention: { limit: 7 },
    compression: { format: 'gzip' },
    concurrencyPolicy: 'Forbid',
  });
});

describe('a KmRestore with a limit of age', () => {
  const target = { scratch: { size: '1Gi' } };
  const notBefore = '2026-01-02T00:00:00Z';
  it.each([
    ['of a schedule', { scheduleName: 'notes', notBefore }, undefined],
    ['of a backup, whose age is known', { backupName: 'a', notBefore }, 'notBefore needs scheduleName'],
    ['that is no time', { scheduleName: 'notes', notBefore: 'yesterday' }, 'date-time'],
  ])('%s', async (_name, source, words) => {
    const refused = await refusal('KmRestore', { source, target });
    if (words === undefined) expect(refused).toBeUndefined();
    else expect(refused).toContain(words);
  });
});
