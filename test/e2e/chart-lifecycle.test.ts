/** The chart's life on a cluster that works: `helm test`, upgrade, rollback, uninstall, install again. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../cluster/process.ts';
import { eventually, type Kubectl, type KubeObject } from '../support/kubectl.ts';
import { isFinished, runNow, schedule } from '../support/resources.ts';
import { applyDataClaimWithNote, mountOf, nodeIn } from '../support/volume.ts';
import { cluster, installOperator, kubectlIn, restrictedNamespace } from './context.ts';

const ROOT = join(import.meta.dirname, '../..');
/** The CustomResourceDefinitions of the release before. */
const BEFORE = join(ROOT, 'test/fixtures/0.1.0');
const GATE = 'km-e2e.example/gate';

let kubectl: Kubectl;
let operator: Kubectl;
let remove: () => Promise<void>;
let installed = true;

async function helm(...args: string[]): Promise<string> {
  const { helm: program, kubeconfig, operator: release } = cluster();
  const namespaced = [...args, '--namespace', release.namespace];
  return (await run(program, namespaced, { env: { KUBECONFIG: kubeconfig } })).stdout;
}

async function install(): Promise<void> {
  await installOperator();
  installed = true;
}

const upgrade = (...flags: string[]) =>
  helm(
    ...['upgrade', cluster().operator.name, join(ROOT, 'charts/km-backup-operator')],
    ...['--reset-then-reuse-values', '--wait', '--timeout', '180s', ...flags],
  );

const fieldsOfSchedules = async (): Promise<string[]> => {
  const crd = JSON.parse(
    await operator.run(['get', 'crd', 'kmbackupschedules.km.duskmantle.io', '-o', 'json']),
  );
  return Object.keys(crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties);
};

const nodes = () => kubectl.run(['get', 'nodes', '-o', 'name']).then((names) => names.trim().split('\n'));

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('chart'));
  operator = kubectlIn(cluster().operator.namespace);
  await applyDataClaimWithNote(kubectl, cluster().image);
  const source = { persistentVolumeClaim: { claimName: 'data' } };
  await kubectl.apply([
    schedule('live', { source, suspend: true }),
    schedule('gated', { source, suspend: true, podTemplate: { nodeSelector: { [GATE]: 'open' } } }),
  ]);
});

afterAll(async () => {
  if (!installed) await install();
  for (const node of await nodes()) await kubectl.run(['label', node, `${GATE}-`]);
  await remove?.();
});

describe('the chart', () => {
  it('passes "helm test", which leaves nothing behind', async () => {
    const said = await helm('test', cluster().operator.name, '--logs', '--timeout', '180s');
    expect(said).toMatch(/archive km-backup-\d{8}T\d{6}Z\.tgz, \d+ bytes/);
    const kinds = 'kmbackupschedules,kmbackups,persistentvolumeclaims,rolebindings,serviceaccounts';
    const left = await eventually(
      () => operator.run(['get', kinds, '-o', 'name', '--ignore-not-found']),
      (names) => !names.includes('-test'),
      (names) => `the test's objects to go; there are ${names}`,
    );
    expect(left).not.toContain('-test');
  });

  it('updates the CustomResourceDefinitions of the release before, and a run goes on through the upgrade', async () => {
    for (const name of await readdir(BEFORE)) await operator.run(['replace', '-f', join(BEFORE, name)]);
    expect(await fieldsOfSchedules()).not.toContain('copies');
    const { metadata } = await kubectl.create({
      apiVersion: 'km.duskmantle.io/v1alpha1',
      kind: 'KmBackup',
      metadata: { generateName: 'gated-now-' },
      spec: { scheduleName: 'gated' },
    });
    const jobOf = async (): Promise<KubeObject | undefined> =>
      (await kubectl.list('jobs')).find((job) =>
        job.metadata.ownerReferences?.some(({ uid }) => uid === metadata.uid),
      );
    const before = await eventually(
      jobOf,
      (job) => job !== undefined,
      () => 'the Job of the run',
    );

    await upgrade('--set', 'logLevel=debug');
    expect(await fieldsOfSchedules()).toContain('copies');
    expect(await operator.run(['get', 'jobs', '-o', 'name'])).not.toContain('-crds');

    for (const node of await nodes()) await kubectl.run(['label', '--overwrite', node, `${GATE}=open`]);
    const finished = await kubectl.until('kmbackup', metadata.name, isFinished);
    expect(finished.status).toMatchObject({ phase: 'Succeeded', job: { uid: before!.metadata.uid } });
  });

  it('goes back to the revision before, and schedules work', async () => {
    await helm('rollback', cluster().operator.name, '--wait', '--timeout', '180s');
    const deployment = await operator.run(['get', `deployment/${cluster().operator.name}`, '-o', 'json']);
    expect(deployment).not.toContain('--log-level=debug');
    expect((await runNow(kubectl, 'live')).status?.phase).toBe('Succeeded');
  });

  it('keeps schedules, records and archives when it is uninstalled, and goes on when it is installed again', async () => {
    const made = (await runNow(kubectl, 'live')).status;
    installed = false;
    await helm('uninstall', cluster().operator.name, '--wait');
    expect((await kubectl.list('kmbackupschedules')).map(({ metadata }) => metadata.name)).toContain('live');
    expect((await kubectl.list('kmbackups')).map(({ status }) => status?.archive?.name)).toContain(
      made?.archive.name,
    );
    const file = `${mountOf('data')}/${made?.archive.path}/${made?.archive.name}`;
    const exists = `import { existsSync } from 'node:fs'; console.log(existsSync(${JSON.stringify(file)}))`;
    expect((await nodeIn(kubectl, 'toolbox', exists)).trim()).toBe('true');

    await install();
    expect((await runNow(kubectl, 'live')).status?.phase).toBe('Succeeded');
  });
});
