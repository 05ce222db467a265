/** The whole disaster: copies in a bucket, every claim gone, and the page brings the data back in a fresh namespace. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { application, service } from '../support/application.ts';
import { runPage, shellBlocks } from '../support/doc-blocks.ts';
import { kmBackup } from '../support/km-backup.ts';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { machineAddress } from '../support/machine-address.ts';
import { kmRestore, restored, runNow, schedule } from '../support/resources.ts';
import { KEYS, S3Server } from '../support/s3-server.ts';
import { claim, treeListing } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

const ROWS = 300;
const URL = 's3://backups/cluster-a';

let before: Kubectl;
let after: Kubectl;
let remove: () => Promise<void>;
let server: S3Server;
let work: string;
let tree: string[];
/** When the first of the two copies can be told from the second. */
let between: string;
let recipient: string;
/** The schedule after its drill from the location. */
let drilled: KubeObject;

/** Runs a program of Node.js in the application's pod. */
async function inApp(kubectl: Kubectl, program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  return await kubectl.run(
    ['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'],
    program,
  );
}
/** Without the record of done requests. */
const treeOf = async (kubectl: Kubectl) =>
  (await inApp(kubectl, treeListing('/data', '.km-restore'))).split('\n').filter((line) => line !== '');
const rowsOf = async (kubectl: Kubectl) =>
  (await inApp(kubectl, `console.log(await (await fetch('http://localhost:8080/rows')).text())`)).trim();

/** Backs up, and waits until the archive is in the location. */
async function backedUpAndCopied(): Promise<void> {
  const { metadata } = await runNow(before, 'app');
  await before.until('kmbackup', metadata.name, ({ status }) => status?.copies?.[0]?.phase === 'Copied');
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-disaster-'));
  ({ kubectl: before, remove } = await restrictedNamespace('disaster'));
  after = kubectlIn(`km-e2e-restored-${randomBytes(3).toString('hex')}`);
  server = await S3Server.start('versitygw', await machineAddress(before));
  await server.createBucket('backups');
  const outside = (...args: string[]) => kmBackup(args, { env: server.env, cwd: work });
  recipient = (await outside('location', 'keygen', '-o', 'key.txt')).stdout.trim();
  await before.apply([
    claim('data'),
    claim('archives'),
    application('app', cluster().image, 'data'),
    service('app'),
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'bucket-keys' }, stringData: KEYS },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'restore-key' },
      stringData: { identity: await readFile(join(work, 'key.txt'), 'utf8') },
    },
    {
      apiVersion: 'km.duskmantle.io/v1alpha1',
      kind: 'KmBackupLocation',
      metadata: { name: 'offsite' },
      spec: {
        s3: {
          endpoint: server.endpoint,
          bucket: 'backups',
          prefix: 'cluster-a',
          forcePathStyle: true,
          credentialsSecretRef: { name: 'bucket-keys' },
        },
        encryption: { age: { recipients: [recipient] } },
      },
    },
    schedule('app', {
      cron: '0 0 1 1 *',
      source: { persistentVolumeClaim: { claimName: 'data' } },
      destination: { persistentVolumeClaim: { claimName: 'archives' } },
      copies: [{ locationRef: { name: 'offsite' } }],
      drill: {
        every: 2,
        from: { locationRef: { name: 'offsite' }, identitySecretRef: { name: 'restore-key' } },
        scratch: { size: '1Gi' },
        checks: { sqlite: ['*.db'] },
      },
    }),
  ]);
  await inApp(
    before,
    `import { DatabaseSync } from 'node:sqlite'; import { mkdirSync, writeFileSync } from 'node:fs';
    const db = new DatabaseSync('/data/app.db'); db.exec('CREATE TABLE event(id INTEGER PRIMARY KEY, body TEXT)');
    const insert = db.prepare('INSERT INTO event(body) VALUES (?)');
    for (let i = 0; i < ${ROWS}; i++) insert.run('event ' + i); db.close();
    mkdirSync('/data/files'); for (let i = 0; i < 50; i++) writeFileSync('/data/files/' + i + '.txt', 'file ' + i);`,
  );
  await backedUpAndCopied();
  between = new Date().toISOString();
  await inApp(
    before,
    `import { writeFileSync } from 'node:fs'; writeFileSync('/data/files/7.txt', 'later');`,
  );
  tree = await treeOf(before);
  await backedUpAndCopied();
  drilled = await before.until(
    'kmbackupschedule',
    'app',
    ({ status }) => status?.lastDrillResult !== undefined,
  );
  // The disaster.
  await before.run(['delete', 'deployment/app', 'kmbackupschedule/app', '--wait=true']);
  await before.run(['delete', 'pvc', '--all', '--wait=true', '--timeout=120s']);
  await before.run(['delete', 'kmbackup,kmbackuplocation', '--all', '--wait=false']);
});

afterAll(async () => {
  await after?.run(['delete', 'namespace', after.namespace, '--wait=false']).catch(() => {});
  await remove?.();
  await server?.[Symbol.asyncDispose]();
  if (work) await rm(work, { recursive: true, force: true });
});

/** Runs the commands of the page as a person would. */
async function followPage(): Promise<string> {
  const blocks = shellBlocks('disaster-recovery.md', 'On a new cluster');
  expect(blocks.length).toBeGreaterThan(3);
  return await runPage(blocks, cluster(), work, {
    env: {
      ...KEYS,
      NAMESPACE: after.namespace,
      AWS_ENDPOINT_URL_S3: server.endpoint,
      BUCKET: 'backups',
      RECIPIENT: recipient,
      SERIES: `${before.namespace}/app`,
    },
  });
}

it('a drill restores the newest copy into scratch space', () => {
  expect(drilled.status).toMatchObject({
    lastDrillResult: 'Succeeded',
    copies: [{ phase: 'Copied', copied: 2 }],
  });
});

describe('a cluster whose claims are gone', () => {
  it('gets the data back by the page, in a fresh namespace, and serves its query again', async () => {
    expect(await before.list('pvc')).toEqual([]);
    expect(await followPage()).toContain('Succeeded');
    const { status } = await after.get('kmrestore', 'back');
    expect(status).toMatchObject({
      phase: 'Succeeded',
      resolved: { location: { url: URL }, series: `${before.namespace}/app` },
      warnings: { count: 0 },
    });
    await after.apply([application('app', cluster().image, 'data'), service('app')]);
    expect(await treeOf(after)).toEqual(tree);
    expect(await rowsOf(after)).toBe(`rows=${ROWS}`);
  });

  const from = (more: object = {}) => ({
    source: { location: { name: 'offsite', identitySecretRef: { name: 'restore-key' }, ...more } },
  });
  const inPlace = { target: { persistentVolumeClaim: { claimName: 'data' } }, quiesce: { auto: true } };

  it('restores single files of an earlier day in place, with the workload stopped', async () => {
    await after.run([
      'create',
      'secret',
      'generic',
      'restore-key',
      `--from-file=identity=${join(work, 'key.txt')}`,
    ]);
    const { status } = await restored(
      after,
      kmRestore('earlier', {
        ...from({ asOf: between }),
        ...inPlace,
        paths: ['files/7.txt'],
        keepOldStateFor: '0',
      }),
    );
    expect(status).toMatchObject({ phase: 'Succeeded' });
    const read = `import { readFileSync } from 'node:fs'; console.log(readFileSync('/data/files/7.txt', 'utf8'));`;
    expect((await inApp(after, read)).trim()).toBe('file 7');
  });

  it('says what the location has instead, and which identity does not fit, before anything is stopped', async () => {
    const none = await restored(after, kmRestore('none', { ...from({ series: 'no/such' }), ...inPlace }));
    expect(none.status).toMatchObject({ phase: 'Failed', reason: 'CopyMissing' });
    expect(none.status.message).toContain(`${before.namespace}/app`);
    const early = await restored(
      after,
      kmRestore('early', { ...from({ asOf: '2001-01-01T00:00:00Z' }), ...inPlace }),
    );
    expect(early.status).toMatchObject({ phase: 'Failed', reason: 'CopyMissing' });
    const other = await kmBackup(['location', 'keygen'], { cwd: work });
    await writeFile(join(work, 'other.txt'), other.stdout);
    await after.run([
      'create',
      'secret',
      'generic',
      'other',
      `--from-file=identity=${join(work, 'other.txt')}`,
    ]);
    const misfit = await restored(
      after,
      kmRestore('misfit', { ...from({ identitySecretRef: { name: 'other' } }), ...inPlace }),
    );
    expect(misfit.status).toMatchObject({ phase: 'Failed', reason: 'IdentityMismatch' });
    expect(misfit.status.stopped).toBeUndefined();
    expect((await after.get('deployment', 'app')).spec.replicas).toBe(1);
  });

  it('names the Secret and the key that its pod waits for', async () => {
    await after.run(['create', 'secret', 'generic', 'empty', '--from-literal=other=x']);
    await after.apply([
      kmRestore('waiting', { ...from({ identitySecretRef: { name: 'empty' } }), ...inPlace }),
      kmRestore('waiting-too', {
        ...from({ identitySecretRef: { name: 'missing' } }),
        target: { newClaim: { name: 'other', size: '1Gi' } },
      }),
    ]);
    for (const [name, secret, words] of [
      ['waiting', 'empty', 'non-existent secret key: identity'],
      ['waiting-too', 'missing', 'secret "missing" not found'],
    ] as const) {
      const { status } = await after.until('kmrestore', name, (one) => one.status?.message?.includes(words));
      expect(status.message).toContain(`key identity of Secret ${secret}`);
      await after.run(['delete', 'kmrestore', name, '--timeout=60s']);
    }
  });

  it('refuses wrong credentials in the words of the server', async () => {
    const bad = [
      `--from-literal=AWS_ACCESS_KEY_ID=${KEYS.AWS_ACCESS_KEY_ID}`,
      '--from-literal=AWS_SECRET_ACCESS_KEY=no',
    ];
    await after.run(['delete', 'secret', 'bucket-keys']);
    await after.run(['create', 'secret', 'generic', 'bucket-keys', ...bad]);
    const { status } = await restored(after, kmRestore('denied', { ...from(), ...inPlace }));
    expect(status).toMatchObject({ phase: 'Failed', reason: 'LocationDenied' });
    expect((await after.get('deployment', 'app')).spec.replicas).toBe(1);
  });
});
