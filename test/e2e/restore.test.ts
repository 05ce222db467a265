import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { eventually, type Kubectl } from '../support/kubectl.ts';
import { runNow, schedule } from '../support/resources.ts';
import { applicationState, claim, mountOf, nodeIn, toolbox, treeListing } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

const EXAMPLE = join(import.meta.dirname, '../../deploy/examples/restore-job.yaml');
const data = mountOf('data');

let kubectl: Kubectl;
let remove: () => Promise<void>;

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('restore'));
  await kubectl.apply([claim('data'), toolbox('toolbox', cluster().image, ['data'])]);
  await kubectl.run(['wait', 'pod/toolbox', '--for=condition=Ready', '--timeout=180s']);
  await nodeIn(kubectl, 'toolbox', applicationState(data, 200));
});
afterAll(() => remove?.());

/** Runs the example's Job with other arguments, to its end. */
async function restoreJob(args: readonly string[]): Promise<void> {
  const job = parse(readFileSync(EXAMPLE, 'utf8'));
  Object.assign(job.spec.template.spec.containers[0], { image: cluster().image, args });
  const { metadata } = await kubectl.create(job);
  await eventually(
    () => kubectl.get('job', metadata.name),
    ({ status }) => status?.succeeded === 1,
    (last) => `Job ${metadata.name} to succeed: ${JSON.stringify(last?.status)}`,
  );
}

/** The state of the application: neither archives nor what a restore keeps. */
const applicationFiles = async (): Promise<string[]> =>
  (await nodeIn(kubectl, 'toolbox', treeListing(data, 'backups')))
    .split('\n')
    .filter((line) => line !== '' && !line.includes('.km-restore'));

describe('the restore of the playbook, in a restricted namespace', () => {
  it('brings the backed-up state back, and keeps the archives', async () => {
    await kubectl.apply([
      schedule('data', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
    ]);
    const backup = await runNow(kubectl, 'data');
    const { name, path } = backup.status.archive;
    const before = await applicationFiles();
    await nodeIn(
      kubectl,
      'toolbox',
      `import { rmSync, writeFileSync } from 'node:fs';
       rmSync(${JSON.stringify(`${data}/documents`)}, { recursive: true });
       writeFileSync(${JSON.stringify(`${data}/gateway.db`)}, 'ruined');
       writeFileSync(${JSON.stringify(`${data}/new`)}, 'not in the archive');`,
    );
    expect(await applicationFiles()).not.toEqual(before);

    await restoreJob(['restore', `/data/${path}/${name}`, '/data']);
    expect(await applicationFiles()).toEqual(before);
    const archives = await nodeIn(
      kubectl,
      'toolbox',
      `import { readdirSync } from 'node:fs'; console.log(readdirSync(${JSON.stringify(`${data}/${path}`)}).join('\\n'))`,
    );
    expect(archives.split('\n')).toContain(name);
  });

  it('goes back to the state before it by --rollback', async () => {
    await restoreJob(['restore', '--rollback', '/data']);
    const names = (await applicationFiles()).map((line) => JSON.parse(line)[3]);
    expect(names).toContain('new');
    expect(names).not.toContain('documents');
  });
});
