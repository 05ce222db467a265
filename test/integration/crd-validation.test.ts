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
async function refusal(kind: 'KmBackupSchedule' | 'KmBackup', spec: object): Promise<string | undefined> {
  const plural = kind === 'KmBackup' ? 'kmbackups' : 'kmbackupschedules';
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

const scheduleRefusal = (spec: object) => refusal('KmBackupSchedule', { source: SOURCE, ...spec });

describe('what the API server refuses of a schedule, in words that help', () => {
  const claims = (more: object) => ({ source: { persistentVolumeClaim: { claimName: 'state', ...more } } });
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
    ['a negative limit', { retention: { limit: -1 } }, 'greater than or equal to 0'],
    ['an age without a unit', { retention: { maxAge: '30' } }, '"30d"'],
    ['a gzip level of zstd', { compression: { format: 'gzip', level: 19 } }, '1 to 12'],
    ['root', { podTemplate: { runAsUser: 0 } }, 'greater than or equal to 1'],
    ['a policy that is none', { concurrencyPolicy: 'Allow' }, 'supported values: "Forbid", "Replace"'],
    ['an image', { podTemplate: { image: 'mine' } }, 'unknown field "spec.podTemplate.image"'],
    [
      'a service account',
      { podTemplate: { serviceAccountName: 'admin' } },
      'unknown field "spec.podTemplate.serviceAccountName"',
    ],
    ['a command', { command: ['sh'] }, 'unknown field "spec.command"'],
  ];
  it.each(cases)('%s', async (_name, spec, words) => {
    expect(await scheduleRefusal(spec)).toContain(words);
  });
});

describe('what it takes', () => {
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
