/** A volume of many owners, backed up and restored by Jobs that may, and that may not, act for all of them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { everything, fileTools } from '../support/file-tools.ts';
import type { Kubectl } from '../support/kubectl.ts';
import type { LocalVolume } from '../support/local-volume.ts';
import { kmRestore, restored, runNow, schedule } from '../support/resources.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';
import { localVolumes } from './local-volumes.ts';

const USER = 999;
const GROUP = 998;

let kubectl: Kubectl;
let asRoot: (program: string) => Promise<string>;
let volumes: Readonly<Record<'data' | 'archives' | 'copy', LocalVolume>>;
const ends: (() => Promise<unknown>)[] = [];

/** Of three owners, with setuid and setgid bits, ACLs and a capability. */
const fill = (root: string) => `${fileTools}
  const root = ${JSON.stringify(root)};
  const put = (name, uid, gid, mode, text) => {
    const path = root + name;
    if (text === undefined) mkdirSync(path, { recursive: true }); else writeFileSync(path, text);
    chownSync(path, uid, gid);
    chmodSync(path, mode);
    return path;
  };
  put('', ${USER}, ${GROUP}, 0o755);
  put('/home', 1234, 1235, 0o700);
  put('/home/secret', 1234, 1235, 0o600, 'of one user');
  put('/pgdata', ${USER}, ${GROUP}, 0o2750);
  put('/pgdata/PG_VERSION', ${USER}, ${GROUP}, 0o600, '18');
  put('/bin', 0, 0, 0o755);
  put('/bin/su', 0, 0, 0o4755, 'setuid');
  put('/bin/wall', 0, 5, 0o2755, 'setgid');
  setXattr(put('/bin/ping', 0, 0, 0o755, 'may open raw sockets'), 'security.capability', capability(13));
  put('/tmp', 0, 0, 0o1777);
  setXattr(put('/tmp/shared', 1234, 1235, 0o640, 'for one more'), 'system.posix_acl_access', acl(4321));
  const team = put('/team', ${USER}, ${GROUP}, 0o770);
  setXattr(team, 'system.posix_acl_default', acl(4321));
  setXattr(team, 'user.note', Buffer.from('kept'));
  symlinkSync('/home/secret', root + '/link');
  lchownSync(root + '/link', 1234, 1235);`;

const state = (volume: LocalVolume) => asRoot(everything(volume.path));
const inPlace = (claimName: string) => ({ persistentVolumeClaim: { claimName } });

beforeAll(async () => {
  const name = cluster().elevatedNamespace;
  kubectl = kubectlIn(name);
  await kubectl.apply([
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { 'pod-security.kubernetes.io/enforce': 'baseline' } },
    },
  ]);
  ends.push(() => kubectl.run(['delete', 'namespace', name, '--wait=false']));
  const local = await localVolumes(kubectl, ['data', 'archives', 'copy']);
  ends.push(local.remove);
  ({ volumes, asRoot } = local);
  await asRoot(fill(volumes.data.path));
  await asRoot(`import { chownSync } from 'node:fs'; chownSync('${volumes.copy.path}', ${USER}, ${GROUP})`);
  await kubectl.apply([
    schedule('all', {
      suspend: true,
      source: inPlace('data'),
      destination: inPlace('archives'),
      podTemplate: { elevated: true },
      backoffLimit: 0,
      startDeadlineSeconds: 120,
    }),
  ]);
});

afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

describe('a volume of many owners', () => {
  let before: string;

  it('is backed up as a whole by an elevated Job, which changes nothing', async () => {
    before = await state(volumes.data);
    expect(before).toContain('security.capability');
    const { status } = await runNow(kubectl, 'all');
    expect(status).toMatchObject({ phase: 'Succeeded', archive: { files: 6 }, warnings: { count: 0 } });
    expect(await state(volumes.data)).toBe(before);
  });

  it('comes back with every owner, mode, time, ACL and capability', async () => {
    await asRoot(`import { chmodSync, chownSync, lchownSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
      const root = '${volumes.data.path}';
      rmSync(root + '/home', { recursive: true });
      for (const name of ['/bin/su', '/bin/wall', '/bin/ping', '/tmp/shared', '/pgdata']) chownSync(root + name, 7, 7);
      chmodSync(root + '/team', 0o700);
      writeFileSync(root + '/new', 'x');`);
    expect(await state(volumes.data)).not.toBe(before);
    const { status } = await restored(
      kubectl,
      kmRestore('back', { source: { scheduleName: 'all' }, target: inPlace('data'), keepOldStateFor: '0' }),
    );
    expect(status).toMatchObject({
      phase: 'Succeeded',
      warnings: { count: 0 },
      identity: { elevated: true },
    });
    expect(await state(volumes.data)).toBe(before);
  });

  it('gives back single files with their owners too', async () => {
    await asRoot(`import { rmSync } from 'node:fs';
      rmSync('${volumes.data.path}/bin/su'); rmSync('${volumes.data.path}/home', { recursive: true });`);
    const { status } = await restored(
      kubectl,
      kmRestore('some', {
        source: { scheduleName: 'all' },
        target: inPlace('data'),
        paths: ['bin/su', 'home'],
        keepOldStateFor: '0',
      }),
    );
    expect(status).toMatchObject({ phase: 'Succeeded', warnings: { count: 0 } });
    // The directories above them have another time.
    const withoutTimes = (text: string) => text.replace(/^(\S+ \S+ \S+) \S+/gm, '$1');
    expect(withoutTimes(await state(volumes.data))).toBe(withoutTimes(before));
  });

  it('says what is lost without it, in the plan and before the swap, and is no success then', async () => {
    // A user who is not root cannot read what root has archived.
    const { archives } = volumes;
    await asRoot(`import { chmodSync, readdirSync } from 'node:fs';
      for (const name of readdirSync('${archives.path}', { recursive: true })) chmodSync('${archives.path}/' + name, 0o755);`);
    const spec = {
      source: { scheduleName: 'all' },
      target: inPlace('copy'),
      podTemplate: { elevated: false, runAsUser: USER, runAsGroup: GROUP },
    };
    const { status: planned } = await restored(kubectl, kmRestore('preview', { ...spec, dryRun: true }));
    expect(planned.phase).toBe('Planned');
    expect(planned.message).toContain(`will belong to ${USER}:${GROUP} instead of their recorded owners`);
    const samples: string[] = planned.warnings.samples;
    expect(samples).toContainEqual(
      expect.stringMatching(/^9 entries will belong to 999:998 .*: bin, bin\/ping, bin\/su, …$/),
    );
    for (const name of ['bin/ping', 'bin/su', 'bin/wall']) {
      expect(samples).toContain(`${name}: setuid, setgid or capabilities removed`);
    }
    const { status } = await restored(kubectl, kmRestore('poor', spec));
    expect(status).toMatchObject({ phase: 'Failed', reason: 'RestoredWithLosses' });
    expect(status.message).toContain('spec.podTemplate.elevated');
    expect(status.warnings.count).toBeGreaterThanOrEqual(12);
    expect(status.warnings.samples).toContainEqual(
      expect.stringMatching(/^bin\/su: owner is 999:998, not 0:0/),
    );
  });

  it('says which Pod Security its namespace enforces when that forbids the pod', async () => {
    const label = (level: string) =>
      kubectl.run([
        ...['label', '--overwrite', 'namespace', kubectl.namespace],
        `pod-security.kubernetes.io/enforce=${level}`,
      ]);
    await label('restricted');
    try {
      await kubectl.apply([
        kmRestore('forbidden', {
          source: { scheduleName: 'all' },
          target: inPlace('copy'),
          dryRun: true,
          podTemplate: { elevated: true },
        }),
      ]);
      const { status } = await kubectl.until(
        'kmrestore',
        'forbidden',
        ({ status: now }) => now?.message?.includes('violates PodSecurity') === true,
      );
      expect(status.message).toContain('restricted');
    } finally {
      await label('baseline');
    }
    const { status } = await kubectl.until(
      'kmrestore',
      'forbidden',
      ({ status: now }) => now?.phase === 'Planned',
    );
    expect(status.plan.removed).toBe(0);
  });
});

it('is refused in a namespace that the chart does not list', async () => {
  const other = await restrictedNamespace('not-elevated');
  ends.push(other.remove);
  const spec = { suspend: true, source: inPlace('data'), podTemplate: { elevated: true } };
  await other.kubectl.apply([schedule('all', spec)]);
  const { status } = await other.kubectl.until('kmbs', 'all', ({ status: now }) =>
    now?.conditions?.some(({ reason }: { reason: string }) => reason === 'ElevatedNotAllowed'),
  );
  const ready = status.conditions.find(({ type }: { type: string }) => type === 'Ready');
  expect(ready).toMatchObject({ status: 'False', reason: 'ElevatedNotAllowed' });
  expect(ready.message).toContain('elevated.namespaces');
  expect((await runNow(other.kubectl, 'all')).status).toMatchObject({ reason: 'ElevatedNotAllowed' });
  const archive = { persistentVolumeClaim: { claimName: 'archives' }, path: 'a.tgz' };
  const refused = await restored(
    other.kubectl,
    kmRestore('all', { source: { archive }, target: inPlace('data'), podTemplate: { elevated: true } }),
  );
  expect(refused.status).toMatchObject({ phase: 'Failed', reason: 'ElevatedNotAllowed' });
});
