import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { application, service } from '../support/application.ts';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { forwardOperatorHttp } from '../support/operator-http.ts';
import { kmRestore, restored, runNow, schedule } from '../support/resources.ts';
import { claim, treeListing } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;

const ROWS = 500;

/** Runs a program of Node.js in the application's pod. */
async function inApp(program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  return await kubectl.run(
    ['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'],
    program,
  );
}

const tree = async (): Promise<string[]> =>
  (await inApp(treeListing('/data', 'backups')))
    .split('\n')
    .filter((line) => line !== '' && !line.includes('.km-restore'));

const damage = () =>
  inApp(`import { DatabaseSync } from 'node:sqlite'; import { rmSync, writeFileSync } from 'node:fs';
    const db = new DatabaseSync('/data/app.db'); db.exec('DELETE FROM event'); db.close();
    rmSync('/data/files/1.txt'); writeFileSync('/data/files/2.txt', 'ruined'); writeFileSync('/data/new', 'x');`);

const replicas = async (): Promise<number> => (await kubectl.get('deployment', 'app')).spec.replicas;

const healthy = [
  { name: 'alive', timeout: '2m', http: { service: 'app', port: 80, path: '/healthz' } },
  {
    name: 'rows',
    timeout: '1m',
    http: { service: 'app', port: 80, path: '/rows', expect: { bodyContains: `rows=${ROWS}` } },
  },
];
const inPlace = { persistentVolumeClaim: { claimName: 'data' } };

let good: string[];
let backup: KubeObject;

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('kmrestore'));
  await kubectl.apply([claim('data'), application('app', cluster().image, 'data'), service('app')]);
  await inApp(`import { DatabaseSync } from 'node:sqlite'; import { mkdirSync, writeFileSync } from 'node:fs';
    const db = new DatabaseSync('/data/app.db'); db.exec('CREATE TABLE event(id INTEGER PRIMARY KEY, body TEXT)');
    const insert = db.prepare('INSERT INTO event(body) VALUES (?)');
    for (let i = 0; i < ${ROWS}; i++) insert.run('event ' + i); db.close();
    mkdirSync('/data/files'); for (let i = 0; i < 50; i++) writeFileSync('/data/files/' + i + '.txt', 'file ' + i);`);
  await kubectl.apply([
    schedule('app', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
  ]);
  good = await tree();
  backup = await runNow(kubectl, 'app');
});
afterAll(() => remove?.());

describe('a KmRestore in place', () => {
  it('shows its plan in a dry run, and changes nothing', async () => {
    await damage();
    const before = await tree();
    const { status } = await restored(
      kubectl,
      kmRestore('preview', { source: { scheduleName: 'app' }, target: inPlace, dryRun: true }),
    );
    expect(status).toMatchObject({ phase: 'Planned', plan: { added: 1 } });
    expect(status.plan.changed).toBeGreaterThanOrEqual(2);
    expect(status.plan.removed).toBeGreaterThanOrEqual(1);
    expect(await tree()).toEqual(before);
  });

  it('stops the workload, restores, starts it again and proves it by its own query', async () => {
    const { status } = await restored(
      kubectl,
      kmRestore('back', {
        source: { scheduleName: 'app' },
        target: inPlace,
        quiesce: { auto: true },
        verify: healthy,
      }),
    );
    expect(status).toMatchObject({
      phase: 'Succeeded',
      resolved: { backupName: backup.metadata.name, archive: { name: backup.status.archive.name } },
      stopped: [{ kind: 'Deployment', name: 'app', replicas: 1, restored: true }],
      warnings: { count: 0 },
    });
    expect(status.oldState.keptUntil).toBeDefined();
    expect(await tree()).toEqual(good);
    expect(await replicas()).toBe(1);
  });

  it('/healthz reports the timestamp of the recovered archive', async () => {
    const { operator } = cluster();
    const http = await forwardOperatorHttp(kubectlIn(operator.namespace), operator.name);
    const { resolved } = (await kubectl.get('kmrestore', 'back')).status;
    const answer = await http.text(`/healthz?namespace=${kubectl.namespace}&schedule=app`);
    http.close();
    expect(JSON.parse(answer).checks.backup).toMatchObject({
      last_success: new Date(resolved.archiveTime).toISOString(),
      archive: backup.status.archive.name,
      restored_archive: backup.status.archive.name,
      restored_archive_timestamp: new Date(resolved.archiveTime).toISOString(),
    });
  });

  it('lets no other restore overwrite the state that it keeps, until that is given up', async () => {
    await kubectl.apply([
      kmRestore('next', { source: { scheduleName: 'app' }, target: inPlace, quiesce: { auto: true } }),
    ]);
    const { status } = await kubectl.until(
      'kmrestore',
      'next',
      (next) => next.status?.reason === 'OldStateKept',
    );
    expect(status.message).toContain('kubectl annotate kmr back km.duskmantle.io/old-state=commit');
    await kubectl.run(['annotate', 'kmrestore', 'back', 'km.duskmantle.io/old-state=commit']);
    const done = await kubectl.until('kmrestore', 'next', (next) => next.status?.phase === 'Succeeded');
    expect(done.status.restored.entries).toBeGreaterThan(50);
    expect((await kubectl.get('kmrestore', 'back')).status.oldState).toBeUndefined();
  });

  it('goes back to the state before it when asked', async () => {
    await kubectl.run(['annotate', 'kmrestore', 'next', 'km.duskmantle.io/old-state=rollback']);
    const { status } = await kubectl.until(
      'kmrestore',
      'next',
      (next) => next.status?.phase === 'RolledBack',
    );
    expect(status).toMatchObject({ reason: 'RollbackRequested' });
    expect(await tree()).toEqual(good);
  });

  it('goes back to the old state when the application does not answer as it should', async () => {
    await inApp(`import { writeFileSync } from 'node:fs'; writeFileSync('/data/mine', 'later');`);
    const before = await tree();
    const { status } = await restored(
      kubectl,
      kmRestore('unhealthy', {
        source: { backupName: backup.metadata.name },
        target: inPlace,
        quiesce: { workloads: [{ kind: 'Deployment', name: 'app' }] },
        verify: [{ name: 'never', timeout: '10s', http: { service: 'app', port: 80, path: '/nothing' } }],
      }),
    );
    expect(status).toMatchObject({ phase: 'RolledBack', reason: 'StepFailed' });
    expect(await tree()).toEqual(before);
    expect(await replicas()).toBe(1);
  });

  it('puts single files back, and leaves everything else alone', async () => {
    await inApp(`import { rmSync, writeFileSync } from 'node:fs';
      rmSync('/data/files/7.txt'); writeFileSync('/data/files/8.txt', 'later');`);
    const { status } = await restored(
      kubectl,
      kmRestore('single', {
        source: { scheduleName: 'app' },
        target: inPlace,
        quiesce: { auto: true },
        paths: ['files/7.txt'],
        keepOldStateFor: '0',
      }),
    );
    expect(status).toMatchObject({ phase: 'Succeeded' });
    const contents = await inApp(`import { readFileSync } from 'node:fs';
      console.log(readFileSync('/data/files/7.txt', 'utf8') + ', ' + readFileSync('/data/files/8.txt', 'utf8'));`);
    expect(contents.trim()).toBe('file 7, later');
  });

  it('refuses a claim that is in use, by the name of its pod', async () => {
    const { status } = await restored(
      kubectl,
      kmRestore('in-use', { source: { scheduleName: 'app' }, target: inPlace }),
    );
    expect(status).toMatchObject({ phase: 'Failed', reason: 'ClaimInUse' });
    expect(status.message).toMatch(/mounted by app-/);
  });

  it('puts the workload back when it is deleted half-way', async () => {
    const name = 'given-up';
    await kubectl.apply([
      kmRestore(name, {
        source: { scheduleName: 'app' },
        target: inPlace,
        quiesce: { auto: true },
        verify: healthy,
      }),
    ]);
    await kubectl.until(
      'kmrestore',
      name,
      ({ status }) => status?.phase === 'Restoring' || status?.phase === 'Quiescing',
    );
    await kubectl.run(['delete', 'kmrestore', name, '--timeout=170s']);
    await kubectl.until('deployment', 'app', ({ spec }) => spec.replicas === 1);
    expect((await tree()).some((line) => line.includes('gateway'))).toBe(false);
  });
});

it('restores into a new claim', async () => {
  const { status } = await restored(
    kubectl,
    kmRestore('elsewhere', {
      source: { scheduleName: 'app' },
      target: { newClaim: { name: 'copy', size: '1Gi' } },
    }),
  );
  expect(status).toMatchObject({ phase: 'Succeeded' });
  expect((await kubectl.get('pvc', 'copy')).status.phase).toBe('Bound');
});

it('says why an archive that does not exist cannot be restored, and touches nothing', async () => {
  const { status } = await restored(
    kubectl,
    kmRestore('none', {
      source: { scheduleName: 'app', asOf: '2001-01-01T00:00:00Z' },
      target: inPlace,
      quiesce: { auto: true },
    }),
  );
  expect(status).toMatchObject({ phase: 'Failed', reason: 'NoArchive' });
  expect(await replicas()).toBe(1);
});
