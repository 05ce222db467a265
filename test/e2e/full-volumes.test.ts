/** Restores to volumes with too little room: refused in words before anything is changed, and nothing stays stopped. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { application } from '../support/application.ts';
import { eventually, type Kubectl } from '../support/kubectl.ts';
import { kmRestore, restored, runNow, schedule } from '../support/resources.ts';
import { claim, treeListing } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';
import { type SmallVolumes, smallVolumes } from './small-volumes.ts';

let kubectl: Kubectl;
let removeNamespace: () => Promise<void>;
let volumes: SmallVolumes;

async function inApp(program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  const command = ['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'];
  return (await kubectl.run(command, program)).trim();
}

/** 30 MB of what cannot be compressed. None of it is a file that was there before. */
const fill = () =>
  inApp(`import { randomBytes } from 'node:crypto'; import { rmSync, writeFileSync } from 'node:fs';
    for (let i = 0; i < 30; i++) {
      rmSync('/data/' + i, { force: true }); writeFileSync('/data/' + i, randomBytes(1_000_000));
    }`);

/** A claim that gets the small volume of that name. */
const smallClaim = (name: string, size: string): object => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name },
  spec: {
    accessModes: ['ReadWriteOnce'],
    storageClassName: volumes.classOf(name),
    resources: { requests: { storage: size } },
  },
});

/** Another pod would find no more room, and the application is stopped meanwhile. */
async function expectOneAttempt(name: string): Promise<void> {
  const labels = ['-l', `km.duskmantle.io/restore=${name},app.kubernetes.io/component=stage`];
  const [job, ...others] = await kubectl.list('jobs', ...labels);
  expect(others).toEqual([]);
  expect(job?.status).toMatchObject({
    failed: 1,
    conditions: expect.arrayContaining([
      expect.objectContaining({ type: 'Failed', status: 'True', reason: 'PodFailurePolicy' }),
    ]),
  });
}

const claims = async (): Promise<string[]> =>
  (await kubectl.list('pvc')).map(({ metadata }) => metadata.name).sort();

beforeAll(async () => {
  ({ kubectl, remove: removeNamespace } = await restrictedNamespace('full'));
  volumes = await smallVolumes(kubectl, { data: 48, copy: 20, scratch: 20 });
  await kubectl.apply([
    smallClaim('data', '40Mi'),
    claim('archives'),
    application('app', cluster().image, 'data'),
    schedule('app', {
      suspend: true,
      source: { persistentVolumeClaim: { claimName: 'data' } },
      destination: { persistentVolumeClaim: { claimName: 'archives' } },
    }),
  ]);
  await fill();
  expect((await runNow(kubectl, 'app')).status).toMatchObject({ phase: 'Succeeded' });
  await fill();
});
afterAll(async () => {
  // The pods end before what they have mounted goes.
  await kubectl?.run(['delete', 'deployment/app', '--cascade=foreground', '--ignore-not-found']);
  await volumes?.remove();
  await removeNamespace?.();
});

it('in place: says how much is missing, leaves the live data as it is and starts the application again', async () => {
  const live = () => inApp(treeListing('/data', ''));
  const before = await live();
  const { status } = await restored(
    kubectl,
    kmRestore('back', {
      source: { scheduleName: 'app' },
      target: { persistentVolumeClaim: { claimName: 'data' } },
      quiesce: { auto: true },
    }),
  );
  expect(status).toMatchObject({ phase: 'Failed', reason: 'NoSpace' });
  expect(status.message).toMatch(
    /needs about (28|29|3[0-8])\.\d MiB in addition to the old state, and (19|2[0-8])\.\d MiB are free/,
  );
  expect(status.message).toContain('It is the volume of PersistentVolumeClaim data.');
  expect(status.message).toContain('The target was not changed.');
  expect(status.swapTime).toBeUndefined();
  await expectOneAttempt('back');
  expect(await live()).toBe(before);
  expect((await kubectl.get('deployment', 'app')).status).toMatchObject({ readyReplicas: 1 });
});

it('a new claim: names the field, and takes the claim away again', async () => {
  const newClaim = { name: 'copy', size: '20Mi', storageClassName: volumes.classOf('copy') };
  const { status } = await restored(
    kubectl,
    kmRestore('elsewhere', { source: { scheduleName: 'app' }, target: { newClaim } }),
  );
  expect(status).toMatchObject({ phase: 'Failed', reason: 'NoSpace' });
  expect(status.message).toMatch(/needs about (28|29|3[0-8])\.\d MiB .* are free/);
  expect(status.message).toContain('ask for more than 20Mi in spec.target.newClaim.size');
  await eventually(
    claims,
    (left) => left.join() === 'archives,data',
    (left) => `the new claim to go: ${left?.join()}`,
  );
});

it('a drill: fails in words, and leaves nothing behind', async () => {
  const scratch = { size: '20Mi', storageClassName: volumes.classOf('scratch') };
  const { status } = await restored(
    kubectl,
    kmRestore('rehearsal', { source: { scheduleName: 'app' }, target: { scratch } }),
  );
  expect(status).toMatchObject({ phase: 'Failed', reason: 'NoSpace' });
  expect(status.message).toMatch(/needs about (28|29|3[0-8])\.\d MiB .* are free/);
  expect(status.message).toContain('ask for more than 20Mi in scratch.size');
  await eventually(
    claims,
    (left) => left.join() === 'archives,data',
    (left) => `the scratch volume to go: ${left?.join()}`,
  );
});
