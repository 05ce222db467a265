import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { eventually } from '../support/kubectl.ts';
import { forwardOperatorHttp, type OperatorHttp, sample } from '../support/operator-http.ts';
import { runNow, schedule } from '../support/resources.ts';
import { claim, mountOf, nodeIn, toolbox } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace, setChartValues } from './context.ts';

let kubectl: Kubectl;
let http: OperatorHttp;
let remove: () => Promise<void>;

const data = mountOf('data');
const inData = (program: string): Promise<string> => nodeIn(kubectl, 'toolbox', program);

/** The schedule, with drills after each archive unless `drill` says otherwise. */
const withDrills = (drill: object): object =>
  schedule('app', {
    cron: '0 0 1 1 *',
    source: { persistentVolumeClaim: { claimName: 'data' } },
    drill: { every: 1, scratch: { size: '1Gi' }, checks: { sqlite: ['*.db'] }, ...drill },
  });

/** Backs up, and resolves with the schedule once the drill after it has ended. */
const drilled = () => ended(() => runNow(kubectl, 'app'));

/** Resolves with the schedule once another drill has ended. */
async function ended(cause: () => Promise<unknown>): Promise<KubeObject> {
  const { status } = await kubectl.get('kmbs', 'app');
  const before = status?.drill?.last?.name;
  await cause();
  return kubectl.until(
    'kmbs',
    'app',
    (app) => {
      const { last, active } = app.status?.drill ?? {};
      return last !== undefined && last.name !== before && active === undefined;
    },
    180_000,
  );
}

const condition = ({ status }: KubeObject): KubeObject =>
  status.conditions.find(({ type }: { type: string }) => type === 'Recoverable');

/** Names of what drills made and have not removed. */
async function leftovers(): Promise<string[]> {
  const list = async (kind: string) => {
    const out = await kubectl.run(['get', kind, '-o', 'name']);
    return out.split('\n').filter((name) => name !== '');
  };
  const claims = (await list('pvc')).filter((name) => name !== 'persistentvolumeclaim/data');
  const others = [...(await list('jobs')), ...(await list('pods'))];
  return [...claims, ...others.filter((name) => name.includes('drill'))];
}

const nothingLeft = () =>
  eventually(
    leftovers,
    (left) => left.length === 0,
    (left) => `nothing to be left of drills, not ${left?.join(', ')}`,
    120_000,
  );

beforeAll(async () => {
  const { operator } = cluster();
  http = await forwardOperatorHttp(kubectlIn(operator.namespace), operator.name);
  ({ kubectl, remove } = await restrictedNamespace('drill'));
  await kubectl.apply([claim('data'), toolbox('toolbox', cluster().image, ['data'])]);
  await kubectl.until('pod', 'toolbox', ({ status }) => status?.phase === 'Running');
  await inData(`import { DatabaseSync } from 'node:sqlite'; import { writeFileSync } from 'node:fs';
    const db = new DatabaseSync('${data}/app.db'); db.exec('CREATE TABLE event(id INTEGER PRIMARY KEY, body TEXT)');
    const insert = db.prepare('INSERT INTO event(body) VALUES (?)');
    for (let i = 0; i < 2000; i++) insert.run('event ' + i); db.close();
    for (let i = 0; i < 20; i++) writeFileSync('${data}/' + i + '.txt', 'file ' + i);`);
  await kubectl.apply([withDrills({})]);
  await kubectl.until('kmbs', 'app', ({ status }) => status?.drill?.settledArchives !== undefined);
});
afterAll(async () => {
  http?.close();
  await remove?.();
});

describe('a drill', () => {
  it('restores the newest archive into scratch space and reports what that took', async () => {
    const app = await drilled();
    expect(condition(app)).toMatchObject({ status: 'True', reason: 'DrillSucceeded' });
    expect(app.status).toMatchObject({
      lastDrillResult: 'Succeeded',
      drill: { last: { archive: app.status.lastSuccessfulBackup.archive } },
    });
    const drill = await kubectl.get('kmrestore', app.status.drill.last.name);
    expect(drill.status).toMatchObject({
      phase: 'Succeeded',
      checks: [{ check: 'sqlite', files: 1, failed: 0 }],
      warnings: { count: 0 },
    });
    await nothingLeft();
    const labels = { namespace: kubectl.namespace, schedule: 'app' };
    const metric = async (name: string) => sample(await http.text('/metrics'), name, labels);
    expect(await metric('km_backup_last_drill_success')).toBe(1);
    expect(await metric('km_backup_last_drill_timestamp')).toBeGreaterThan(1e9);
    expect(await metric('km_backup_last_drill_recovery_seconds')).toBeGreaterThan(0);
    expect(await metric('km_backup_last_drill_archive_age_seconds')).toBeGreaterThanOrEqual(0);
    await kubectl.run(['wait', 'kmbs/app', '--for=condition=Recoverable', '--timeout=10s']);
  });

  it('finds an archive that is older than it may be', async () => {
    const everyMinute = { every: undefined, cron: '* * * * *', maxArchiveAge: '1s' };
    const app = await ended(() => kubectl.apply([withDrills(everyMinute)]));
    expect(condition(app)).toMatchObject({ status: 'False', reason: 'DrillFailed' });
    expect(app.status.drill.last).toMatchObject({
      reason: 'ArchiveTooOld',
      archive: app.status.lastSuccessfulBackup.archive,
    });
    await nothingLeft();
    await kubectl.apply([withDrills({})]);
    await kubectl.until('kmbs', 'app', ({ status }) => status.drill.cadence === 'every 1 archives');
  });

  it('finds an SQLite file that was damaged when it was backed up', async () => {
    await inData(`import { closeSync, openSync, writeSync } from 'node:fs';
      const file = openSync('${data}/app.db', 'r+'); writeSync(file, Buffer.alloc(9000, 0x5a), 0, 9000, 8192); closeSync(file);`);
    const app = await drilled();
    expect(app.status.drill.last).toMatchObject({ reason: 'ContentCheckFailed' });
    expect(condition(app)['message']).toMatch(/app\.db/);
    // The success before it is still known.
    expect(app.status.drill.lastSuccessful.recoverySeconds).toBeGreaterThan(0);
    await nothingLeft();
  });

  it('runs a script on the restored files where the operator allows that', async () => {
    const check = [
      '#!/usr/bin/env node',
      "const { readFileSync } = require('node:fs');",
      "const text = readFileSync('7.txt', 'utf8');",
      "if (text !== 'file 7') { console.error('7.txt says ' + text); process.exit(1); }",
    ].join('\n');
    const script = { configMapKeyRef: { name: 'proofs', key: 'check' } };
    await kubectl.apply([
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'proofs' }, data: { check } },
      withDrills({ checks: undefined, scratch: { size: '1Gi', script } }),
    ]);
    expect((await drilled()).status.drill.last).toMatchObject({ reason: 'ScriptsNotAllowed' });
    await setChartValues('jobs.allowScripts=true');
    try {
      expect(condition(await drilled())).toMatchObject({ status: 'True', reason: 'DrillSucceeded' });
      await inData(
        `import { writeFileSync } from 'node:fs'; writeFileSync('${data}/7.txt', 'something else');`,
      );
      const app = await drilled();
      expect(app.status.drill.last).toMatchObject({ reason: 'ScratchScriptFailed' });
      expect(condition(app)['message']).toContain('7.txt says something else');
    } finally {
      await setChartValues('jobs.allowScripts=false');
    }
    await nothingLeft();
  });

  it('says that its StorageClass does not exist, and leaves nothing behind', async () => {
    const scratch = { size: '1Gi', storageClassName: 'missing' };
    await kubectl.apply([withDrills({ scratch, startDeadlineSeconds: 10 })]);
    const app = await drilled();
    expect(app.status.drill.last).toMatchObject({ reason: 'VolumeNotMade' });
    expect(condition(app)['message']).toContain('"missing" not found');
    await nothingLeft();
  });
});
