import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../cluster/process.ts';
import { copyOut } from '../support/copy-out.ts';
import { eventually, type Kubectl, type KubeObject } from '../support/kubectl.ts';
import { forwardOperatorHttp, type OperatorHttp, sample } from '../support/operator-http.ts';
import { isFinished, runNow, schedule } from '../support/resources.ts';
import { applicationState, claim, mountOf, nodeIn, toolbox, treeListing } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

const ARCHIVES = 'backups/archives';
const FOREIGN = ['km-backup-notes.txt', 'other-20200101T000000Z.tgz', 'km-backup-folder.tgz'];
const LIMIT = 3;

let kubectl: Kubectl;
let remove: () => Promise<void>;
let http: OperatorHttp;
let work: string;

const data = mountOf('data');
const filesIn = async (folder: string): Promise<string[]> =>
  JSON.parse(
    await nodeIn(
      kubectl,
      'toolbox',
      `import { readdirSync } from 'node:fs'; console.log(JSON.stringify(readdirSync(${JSON.stringify(folder)})))`,
    ),
  );
const healthOf = async (schedule: string): Promise<Record<string, unknown>> =>
  JSON.parse(await http.text(`/healthz?namespace=${kubectl.namespace}&schedule=${schedule}`)).checks.backup;
const archives = async (): Promise<string[]> =>
  (await filesIn(`${data}/${ARCHIVES}`)).filter((name) => /^km-backup-\d{8}T\d{6}Z\.tgz$/.test(name)).sort();

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-e2e-'));
  ({ kubectl, remove } = await restrictedNamespace('backup'));
  await kubectl.apply([
    claim('data'),
    claim('archives'),
    toolbox('toolbox', cluster().image, ['data', 'archives']),
  ]);
  await kubectl.run(['wait', 'pod/toolbox', '--for=condition=Ready', '--timeout=180s']);
  await nodeIn(kubectl, 'toolbox', applicationState(data, 2000));
  await nodeIn(
    kubectl,
    'toolbox',
    `import { mkdirSync, writeFileSync } from 'node:fs';
     const folder = ${JSON.stringify(`${data}/${ARCHIVES}`)};
     mkdirSync(folder + '/km-backup-folder.tgz', { recursive: true });
     for (const name of ['km-backup-notes.txt', 'other-20200101T000000Z.tgz']) writeFileSync(folder + '/' + name, 'mine');`,
  );
  http = await forwardOperatorHttp(kubectlIn(cluster().operator.namespace), cluster().operator.name);
});

afterAll(async () => {
  http?.close();
  await remove?.();
  if (work) await rm(work, { recursive: true, force: true });
});

describe('a schedule of every minute', () => {
  let slot: KubeObject;

  it('makes one Job for a scheduled time, and the KmBackup names a verified archive', async () => {
    await kubectl.apply([
      schedule('minutely', {
        cron: '* * * * *',
        source: { persistentVolumeClaim: { claimName: 'data' } },
        retention: { limit: LIMIT },
      }),
    ]);
    const [found] = await eventually(
      async () => (await kubectl.list('kmbackups')).filter(isFinished),
      (finished) => finished.length > 0,
      () => 'a finished KmBackup of the schedule',
    );
    slot = found!;
    expect(slot.status).toMatchObject({ phase: 'Succeeded', warnings: { count: 0 } });
    expect(slot.spec.scheduledTime).toMatch(/:00Z$/);

    await eventually(
      () => healthOf('minutely'),
      ({ status, archive }) => status === 'ok' && archive === slot.status.archive.name,
      (last) => `/healthz to be ok; it says ${JSON.stringify(last)}`,
    );

    const jobs = (await kubectl.list('jobs')).filter((job) =>
      job.metadata.ownerReferences?.some(({ uid }) => uid === slot.metadata.uid),
    );
    expect(jobs).toHaveLength(1);
    expect(jobs[0]?.metadata.uid).toBe(slot.status.job.uid);

    const file = `${data}/${slot.status.archive.path}/${slot.status.archive.name}`;
    const digest = await nodeIn(
      kubectl,
      'toolbox',
      `import { createHash } from 'node:crypto'; import { readFileSync } from 'node:fs';
       console.log(createHash('sha256').update(readFileSync(${JSON.stringify(file)})).digest('hex'))`,
    );
    expect(digest.trim()).toBe(slot.status.archive.sha256);
  });

  it('gives each scheduled time its own minute and never two runs', async () => {
    const scheduled = await eventually(
      async () => (await kubectl.list('kmbackups')).filter((backup) => backup.spec.scheduledTime),
      (backups) => backups.filter(isFinished).length >= 2,
      (last) => `two finished slots; there are ${last?.length}`,
    );
    const slots = scheduled.map((backup) => backup.spec.scheduledTime);
    expect(new Set(slots).size).toBe(slots.length);
    await kubectl.run(['patch', 'kmbs', 'minutely', '--type=merge', '-p', '{"spec":{"suspend":true}}']);
  });

  it('holds no token in its pods', async () => {
    const pods = await kubectl.list('pods', '-l', 'app.kubernetes.io/name=km-backup');
    expect(pods.length).toBeGreaterThan(0);
    for (const pod of pods) {
      expect(pod.spec.automountServiceAccountToken).toBe(false);
      expect(JSON.stringify(pod.spec.volumes)).not.toContain('serviceAccountToken');
      expect(JSON.stringify(pod.spec.containers)).not.toContain('/var/run/secrets');
    }
  });

  it('runs now when a person creates a KmBackup, though the schedule is suspended', async () => {
    for (let index = 0; index < LIMIT; index++) {
      const backup = await runNow(kubectl, 'minutely');
      expect(backup.status).toMatchObject({ phase: 'Succeeded' });
      expect(backup.spec.scheduledTime).toBeUndefined();
    }
  });

  it(`keeps the newest ${LIMIT} archives and leaves foreign files alone`, async () => {
    const newest = (await kubectl.list('kmbackups')).map((backup) => backup.status.archive.name).sort();
    expect(await archives()).toEqual(newest.slice(-LIMIT));
    expect(await filesIn(`${data}/${ARCHIVES}`)).toEqual(expect.arrayContaining(FOREIGN));
  });

  it('drops the KmBackups of pruned archives', async () => {
    const left = await eventually(
      () => kubectl.list('kmbackups'),
      (backups) => backups.length === LIMIT,
      (last) => `${LIMIT} KmBackups; there are ${last?.map(({ metadata }) => metadata.name)}`,
    );
    expect(left.map((backup) => backup.status.archive.name).sort()).toEqual(await archives());
  });

  it('wrote an archive that GNU tar restores to the very source', async () => {
    const name = (await archives()).at(-1)!;
    const file = join(work, name);
    await copyOut(kubectl, 'toolbox', `${data}/${ARCHIVES}/${name}`, file);
    const target = await mkdtemp(join(work, 'extracted-'));
    await run('tar', ['-xpzf', file, '-C', target]);
    const restored = await run(process.execPath, [
      '--input-type=module',
      '-e',
      treeListing(target, ARCHIVES),
    ]);
    const source = await nodeIn(kubectl, 'toolbox', treeListing(data, ARCHIVES));
    expect(restored.stdout).toBe(source);
    expect(source.split('\n').length).toBeGreaterThan(2000);
  });

  it('tells one story in status, columns, Events, metrics and health', async () => {
    const { status } = await kubectl.until(
      'kmbs',
      'minutely',
      ({ status }) => status?.archives?.count === LIMIT && status.active.length === 0,
    );
    const labels = { namespace: kubectl.namespace, schedule: 'minutely' };

    const [header, row] = (await kubectl.run(['get', 'kmbs', 'minutely'])).split('\n');
    expect(header?.split(/\s{2,}/)).toEqual([
      ...['NAME', 'SCHEDULE', 'SUSPEND', 'LAST SUCCESS', 'NEXT', 'ARCHIVES', 'STATUS', 'AGE'],
    ]);
    expect(row).toMatch(/^minutely\s.*\btrue\s.*\b3\s+Succeeded\s/);

    const events = await kubectl.list('events.events.k8s.io');
    const reasons = events.filter(({ regarding }) => (regarding as { name: string }).name === 'minutely');
    expect(reasons.map(({ reason }) => reason)).toEqual(
      expect.arrayContaining(['BackupCreated', 'BackupSucceeded']),
    );

    const metrics = await eventually(
      () => http.text('/metrics'),
      (text) =>
        sample(text, 'km_backup_runs_total', { ...labels, result: 'success' }) === status.runs.succeeded,
      () => 'km_backup_runs_total to equal the status',
    );
    expect(sample(metrics, 'km_backup_last_status', labels)).toBe(1);
    expect(sample(metrics, 'km_backup_archives', labels)).toBe(LIMIT);
    expect(sample(metrics, 'km_backup_retention_deletes_total', labels)).toBe(status.retentionDeletes);
    expect(sample(metrics, 'km_backup_last_success_timestamp', labels)).toBe(
      Date.parse(status.lastSuccessfulTime) / 1000,
    );
    expect(status.runs.succeeded - status.retentionDeletes).toBe(LIMIT);

    // Suspended by now, so health reports it as disabled.
    expect(await healthOf('minutely')).toMatchObject({
      status: 'disabled',
      archive: (await archives()).at(-1),
      last_success: new Date(status.lastSuccessfulTime).toISOString(),
    });
  });
});

describe('a run that cannot succeed', () => {
  it('fails with the reason, is shown everywhere, and costs no good archive', async () => {
    const before = await archives();
    await kubectl.apply([
      schedule('broken', {
        suspend: true,
        source: { persistentVolumeClaim: { claimName: 'data', subPath: 'no/such/folder' } },
        backoffLimit: 0,
        retention: { limit: 1 },
      }),
    ]);
    const backup = await runNow(kubectl, 'broken');
    expect(backup.status.phase).toBe('Failed');
    expect(backup.status.message).toContain('no/such/folder');
    await kubectl.until('kmbs', 'broken', ({ status }) => status?.runs?.failed === 1);
    expect(await kubectl.run(['get', 'kmbs', 'broken'])).toMatch(/\sFailed\s/);
    await eventually(
      () => http.text('/metrics'),
      (text) =>
        sample(text, 'km_backup_last_status', { namespace: kubectl.namespace, schedule: 'broken' }) === 0,
      () => 'km_backup_last_status of the broken schedule to be 0',
    );
    expect(await archives()).toEqual(before);
  });
});

describe('another claim as destination, with zstd', () => {
  it('writes there, and a second run reuses what did not change', async () => {
    await kubectl.apply([
      schedule('elsewhere', {
        suspend: true,
        source: { persistentVolumeClaim: { claimName: 'data', subPath: 'documents' } },
        destination: { persistentVolumeClaim: { claimName: 'archives' }, path: 'of/documents' },
        compression: { format: 'zstd' },
      }),
    ]);
    const first = await runNow(kubectl, 'elsewhere');
    expect(first.status).toMatchObject({ phase: 'Succeeded', archive: { claimName: 'archives' } });
    const second = await runNow(kubectl, 'elsewhere');
    expect(second.status.archive.reusedBytes).toBeGreaterThan(0);
    const names = await filesIn(`${mountOf('archives')}/of/documents`);
    expect(names.filter((name) => name.endsWith('.tar.zst'))).toHaveLength(2);
  });
});
