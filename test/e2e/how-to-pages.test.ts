/** How-to pages whose commands can run here, as they stand there. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runPage, shellBlocks } from '../support/doc-blocks.ts';
import { fencedBlocks, root } from '../support/doc-pages.ts';
import { claim, JOB_USER, mountOf, nodeIn, toolbox } from '../support/volume.ts';
import { cluster, kubectlIn, restrictedNamespace, setChartValues } from './context.ts';

const TENANT = 'shop';
/** The user of the CronJob on the page, who owns the files. */
const OWNER = { ...JOB_USER, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 };
let work: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-how-to-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

it('moving-from-cronjob.md: a CronJob becomes a schedule that backs up, and a drill proves it', async () => {
  const { kubectl, remove } = await restrictedNamespace('moving');
  try {
    const pod = toolbox('toolbox', cluster().image, ['wiki']) as { spec: object };
    const owners = { ...pod, spec: { ...pod.spec, securityContext: OWNER } };
    await kubectl.apply([claim('wiki'), claim('wiki-backups'), owners]);
    await kubectl.run(['wait', 'pod/toolbox', '--for=condition=Ready', '--timeout=180s']);
    const write = `import { writeFileSync } from 'node:fs'; writeFileSync('${mountOf('wiki')}/page.md', 'text');`;
    await nodeIn(kubectl, 'toolbox', write);
    const [cronJob] = fencedBlocks('docs/moving-from-cronjob.md').filter(({ info }) => info === 'yaml');
    await kubectl.apply(cronJob!.text);
    const choose = `kubectl config set-context --current --namespace=${kubectl.namespace}`;
    const blocks = shellBlocks('moving-from-cronjob.md');
    expect(blocks.length).toBe(4);
    const printed = await runPage([choose, ...blocks], cluster(), join(work, 'cronjob'));
    expect(printed).toContain('./page.md');
    expect((await kubectl.get('cronjob', 'wiki-backup')).spec.suspend).toBe(true);
    const drills = (await kubectl.list('kmrestores')).map(({ status }) => status.phase);
    expect(drills).toEqual(['Succeeded']);
  } finally {
    await remove();
  }
});

it('multi-tenant.md: developers start backups, those on call restore, and nobody else does', async () => {
  const admin = kubectlIn(TENANT);
  const mayCreate = (kind: string, group: string) =>
    admin.run(['auth', 'can-i', 'create', kind, '--as=jane', `--as-group=${group}`]).then(
      (answer) => answer.trim(),
      () => 'no',
    );
  await admin.run(['create', 'namespace', TENANT]);
  try {
    const [upgrade, ask] = shellBlocks('multi-tenant.md', 'Decide who may do what');
    await runPage([upgrade!], cluster(), join(work, 'tenant'), { in: root });
    expect(ask).toContain('--as-group=shop-developers');
    expect(await mayCreate('kmbackups', 'shop-developers')).toBe('yes');
    expect(await mayCreate('kmrestores', 'shop-developers')).toBe('no');
    expect(await mayCreate('kmrestores', 'shop-on-call')).toBe('yes');
    expect(await mayCreate('kmbackups', 'somebody')).toBe('no');
    await expect(admin.run(['get', 'clusterrole', 'km-backup-operator-edit'])).rejects.toThrow(/not found/i);
  } finally {
    await admin.run(['delete', 'namespace', TENANT, '--wait=false']);
    await setChartValues('rbac.aggregateToUserRoles=true');
  }
});
