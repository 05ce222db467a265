import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { type LocalVolume, ownership } from '../support/local-volume.ts';
import { runNow, schedule } from '../support/resources.ts';
import { cluster, restrictedNamespace } from './context.ts';
import { localVolumes } from './local-volumes.ts';

const USER = 999;
const GROUP = 998;

let kubectl: Kubectl;
let asRoot: (program: string) => Promise<string>;
const ends: (() => Promise<unknown>)[] = [];
let data: LocalVolume;
let archives: LocalVolume;

/** An application whose container sets another user than its pod. */
const database = (): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'database' },
  spec: {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    securityContext: { runAsNonRoot: true, runAsUser: 1, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'database',
        image: cluster().image,
        command: ['node', '-e', 'setInterval(() => {}, 1 << 30)'],
        securityContext: {
          runAsUser: USER,
          runAsGroup: GROUP,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [{ name: 'data', mountPath: '/data' }],
      },
    ],
    volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
  },
});

const owners = (): Promise<string> => asRoot(ownership(data.path, '/backups'));
const jobOf = (backup: KubeObject): Promise<KubeObject> => kubectl.get('job', backup.status.job.name);

beforeAll(async () => {
  const restricted = await restrictedNamespace('identity');
  kubectl = restricted.kubectl;
  ends.push(restricted.remove);
  const local = await localVolumes(kubectl, ['data', 'archives']);
  ends.push(local.remove);
  ({ asRoot } = local);
  ({ data, archives } = local.volumes);
  await asRoot(
    `import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
     const [data, archives] = ${JSON.stringify([data.path, archives.path])};
     const put = (path, uid, gid, mode, text) => {
       if (text === undefined) mkdirSync(path, { recursive: true }); else writeFileSync(path, text);
       chownSync(path, uid, gid);
       chmodSync(path, mode);
     };
     put(data, ${USER}, ${GROUP}, 0o755);
     put(data + '/pgdata', ${USER}, ${GROUP}, 0o700);
     put(data + '/pgdata/PG_VERSION', ${USER}, ${GROUP}, 0o600, '18');
     put(data + '/pgdata/base', ${USER}, ${GROUP}, 0o2750);
     put(data + '/pgdata/base/1', ${USER}, 1234, 0o440, 'a table');
     put(data + '/public', 0, 0, 0o755);
     put(data + '/public/notes', 0, 0, 0o644, 'of another user');
     put(archives, 0, 0, 0o755);`,
  );
  await kubectl.apply([database()]);
  await kubectl.run(['wait', 'pod/database', '--for=condition=Ready', '--timeout=180s']);
});

afterAll(async () => {
  for (const end of ends.reverse()) await end();
});

describe('a volume of another user, on which the kubelet applies fsGroup', () => {
  let before: string;

  it('is backed up as the user of the pod that mounts it, and keeps every owner and mode', async () => {
    before = await owners();
    expect(before).toContain(`${USER} ${GROUP} 40700 /pgdata`);
    await kubectl.apply([
      schedule('database', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
    ]);
    const backup = await runNow(kubectl, 'database');
    expect(backup.status).toMatchObject({ phase: 'Succeeded', archive: { files: 3 } });
    expect(await owners()).toBe(before);
    const { securityContext } = (await jobOf(backup)).spec.template.spec;
    expect(securityContext).toMatchObject({ runAsUser: USER, runAsGroup: GROUP });
    expect(securityContext).not.toHaveProperty('fsGroup');
  });

  it('is backed up as that user when no pod mounts it any more', async () => {
    await kubectl.until(
      'kmbs',
      'database',
      ({ status }) => status?.sourceIdentity?.pod === 'database' && status.sourceIdentity.runAsUser === USER,
    );
    await kubectl.run(['delete', 'pod', 'database']);
    expect((await runNow(kubectl, 'database')).status.phase).toBe('Succeeded');
    expect(await owners()).toBe(before);
  });

  it('is left alone by a run that may not read it, which says as whom it ran and what to set', async () => {
    await kubectl.apply([
      schedule('stranger', {
        suspend: true,
        source: { persistentVolumeClaim: { claimName: 'data', subPath: 'pgdata' } },
        backoffLimit: 0,
      }),
    ]);
    const { status } = await runNow(kubectl, 'stranger');
    // No other pod has the volume mounted by now, so that the kubelet would apply an fsGroup.
    expect(await owners()).toBe(before);
    expect(status.phase).not.toBe('Succeeded');
    expect(status.message).toContain('user 65532');
    expect(status.message).toContain('spec.podTemplate.runAsUser');
  });

  it('is mounted read-only where the archives go elsewhere, and a destination that refuses is named', async () => {
    const elsewhere = (podTemplate: object) =>
      schedule('elsewhere', {
        suspend: true,
        source: { persistentVolumeClaim: { claimName: 'data' } },
        destination: { persistentVolumeClaim: { claimName: 'archives' } },
        backoffLimit: 0,
        podTemplate,
      });
    await kubectl.apply([elsewhere({ runAsUser: USER })]);
    const refused = await runNow(kubectl, 'elsewhere');
    expect(refused.status).toMatchObject({ phase: 'Failed', reason: 'DestinationUnusable' });
    expect(refused.status.message).toContain('spec.podTemplate.fsGroup');
    expect(refused.status.message).toMatch(/user 0 and group 0 with mode 0755/);

    await kubectl.apply([elsewhere({ runAsUser: USER, fsGroup: 4321 })]);
    expect((await runNow(kubectl, 'elsewhere')).status).toMatchObject({
      phase: 'Succeeded',
      archive: { claimName: 'archives' },
    });
    expect(await owners()).toBe(before);
  });
});
