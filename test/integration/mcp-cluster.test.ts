/** The tools of `km-backup mcp --cluster` against a real API server, with the rights of the caller and no others. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { LABELS } from '../../src/api/names.ts';
import { expectWords, kmBackup } from '../support/km-backup.ts';
import { eventually } from '../support/kubectl.ts';
import { type Person, Session } from '../support/mcp.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { ARCHIVE, backedUp, restoreReport } from '../support/restore-scene.ts';
import { cleanResult } from '../support/stub-kubelet.ts';

const kubelet = (scene: OperatorScene) =>
  scene.kubelet((pod) => {
    const component = pod.metadata.labels?.[LABELS.component] ?? '';
    return component === 'backup' ? { exitCode: 0, result: cleanResult(ARCHIVE) } : restoreReport(component);
  });

const open = ({ namespace, kubeconfig }: OperatorScene, person?: Person, file = kubeconfig) =>
  Session.stdio(['--kubeconfig', file, '--namespace', namespace], { person });

const restoresOf = async ({ all, namespace }: OperatorScene) => (await all.restores.list(namespace)).items;

/** A kubeconfig of somebody with these rights on our resources in the namespace. */
async function callerWith(scene: OperatorScene, verbs: readonly string[]): Promise<string> {
  const { client, namespace } = scene;
  const post = (where: string, body: object) =>
    client.request<{ status: { token: string } }>({ method: 'POST', path: where, body });
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await post(accounts, { metadata: { name: 'caller' } });
  const rules = verbs.length > 0 ? [{ apiGroups: ['km.duskmantle.io'], resources: ['*'], verbs }] : [];
  await post(`${rbac}/roles`, { metadata: { name: 'caller' }, rules });
  await post(`${rbac}/rolebindings`, {
    metadata: { name: 'caller' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'caller' },
    subjects: [{ kind: 'ServiceAccount', name: 'caller', namespace }],
  });
  const { status } = await post(`${accounts}/caller/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  });
  const config = parse(await readFile(scene.kubeconfig, 'utf8'));
  for (const user of config.users) user.user = { token: status.token };
  const directory = await mkdtemp(path.join(tmpdir(), 'km-mcp-'));
  scene.onEnd(() => rm(directory, { recursive: true }));
  const file = path.join(directory, 'kubeconfig');
  await writeFile(file, stringify(config), { mode: 0o600 });
  return file;
}

describe('by the own kubeconfig', () => {
  it(
    'a backup now, and what is known of it',
    inScene(async (scene) => {
      await scene.operator();
      await kubelet(scene);
      await scene.schedule('notes');
      await scene.claim('forgotten');
      await using session = await open(scene);
      const messages: string[] = [];
      const backup = await session.call(
        'backup',
        { schedule: 'notes' },
        { onprogress: ({ message = '' }) => messages.push(message) },
      );
      expect(backup.failed, backup.text).toBe(false);
      expect(backup.text).toBe(`Backup written to backups/archives/${ARCHIVE} on claim state`);
      expect(backup.data).toMatchObject({ phase: 'Succeeded', archive: { name: ARCHIVE, claim: 'state' } });
      expect(messages.length).toBeGreaterThan(0);
      const { name } = backup.data;
      expect((await session.call('list')).data).toMatchObject({
        total: 1,
        backups: [{ name, schedule: 'notes', phase: 'Succeeded', archive: ARCHIVE }],
      });
      await scene.succeeded('notes', 1);
      const status = await session.call('status');
      expect(status.data).toMatchObject({
        health: 'OK',
        schedules: [{ name: 'notes', lastArchive: ARCHIVE }],
      });
      expect((await session.call('why', { name })).data).toMatchObject({ kind: 'KmBackup', verdict: 'fine' });
      const coverage = await session.call('coverage');
      expect(coverage.text).toMatch(/^forgotten: no schedule$/m);
      const { resources } = await session.client.listResources();
      const uri = 'km-backup://schedules/notes';
      expect(resources.map((resource) => resource.uri)).toContain(uri);
      const read = await session.client.readResource({ uri });
      expect(JSON.parse((read.contents[0] as { text: string }).text)).toEqual(status.data.schedules[0]);
    }),
  );

  it(
    'a restore that is planned, shown, approved and done; the second time it is refused',
    inScene(async (scene) => {
      await scene.operator();
      await kubelet(scene);
      await scene.schedule('notes');
      await backedUp(scene);
      await using session = await open(scene, 'approves');
      const wish = { schedule: 'notes', claim: 'state' };
      const { plan, planDigest } = (await session.call('restore_plan', wish)).data;
      expect(session.asked).toEqual([]);
      const outdated = await session.call('restore', { plan, planDigest: 'e'.repeat(64) });
      expect(outdated.text).toMatch(/^PlanChanged: /);
      expect(session.asked).toEqual([]);
      expect((await restoresOf(scene)).map(({ metadata }) => metadata.name)).toEqual([plan]);
      const restored = await session.call('restore', { plan, planDigest });
      expect(session.asked).toHaveLength(1);
      expect(session.asked[0]).toContain(
        `Restore claim state in namespace ${scene.namespace} from ${ARCHIVE}`,
      );
      expect(restored.data, restored.text).toMatchObject({ phase: 'Succeeded' });
      const names = (await restoresOf(scene)).map(({ metadata }) => metadata.name);
      expect(names).toEqual([restored.data.name]);
      const again = await session.call('restore', { plan, planDigest });
      expect(again.text).toMatch(/^NotFound: /);
      const ended = await session.call('restore', { plan: restored.data.name, planDigest });
      expect(ended.text).toMatch(/^Refused: /);
      expect(await restoresOf(scene)).toHaveLength(1);
    }),
  );

  it.each([
    ['ApprovalDeclined', 'declines'],
    ['ApprovalUnavailable', undefined],
  ] as const)('%s: no restore begins if the person %s', (reason, person) =>
    inScene(async (scene) => {
      await scene.operator();
      await kubelet(scene);
      await scene.schedule('notes');
      await backedUp(scene);
      await using session = await open(scene, person);
      const { plan, planDigest } = (await session.call('restore_plan', { backup: 'first', claim: 'state' }))
        .data;
      const refused = await session.call('restore', { plan, planDigest });
      expect(refused.text).toMatch(new RegExp(`^${reason}: `));
      expect((await restoresOf(scene)).map(({ metadata }) => metadata.name)).toEqual([plan]);
    })(),
  );

  it(
    'a plan that is cancelled leaves nothing behind; a backup goes on',
    inScene(async (scene) => {
      await scene.schedule('notes');
      await using session = await open(scene);
      const cancelled = async (name: string, args: Record<string, unknown>) => {
        const controller = new AbortController();
        const onprogress = () => controller.abort('enough');
        await expect(session.call(name, args, { signal: controller.signal, onprogress })).rejects.toThrow();
      };
      await cancelled('restore_plan', { schedule: 'notes', claim: 'state' });
      await eventually(
        () => restoresOf(scene),
        (restores) => restores.length === 0,
        (last) => `no KmRestore, not ${last?.length}`,
      );
      await cancelled('backup', { schedule: 'notes' });
      expect(await scene.backups()).toHaveLength(1);
    }),
  );

  it(
    'who may only look cannot back up or restore, and nothing is created',
    inScene(async (scene) => {
      await scene.operator();
      await kubelet(scene);
      await scene.schedule('notes');
      await backedUp(scene);
      await using owner = await open(scene, 'approves');
      const { plan, planDigest } = (await owner.call('restore_plan', { backup: 'first', claim: 'state' }))
        .data;
      const file = await callerWith(scene, ['get', 'list']);
      await using session = await open(scene, 'approves', file);
      expect((await session.call('status')).data.schedules).toMatchObject([{ name: 'notes' }]);
      expect((await session.call('list')).data.total).toBe(1);
      expect((await session.call('coverage')).text).toMatch(/^Forbidden: /);
      const refused = [
        await session.call('backup', { schedule: 'notes' }),
        await session.call('restore_plan', { backup: 'first', claim: 'state' }),
        // Approved, but the API server still decides.
        await session.call('restore', { plan, planDigest }),
      ];
      for (const { failed, text } of refused) {
        expect(failed).toBe(true);
        expect(text).toMatch(/^Forbidden: You may not do this: /);
      }
      expect((await restoresOf(scene)).map(({ metadata }) => metadata.name)).toEqual([plan]);
      expect((await scene.backups()).map(({ metadata }) => metadata.name)).toEqual(['first']);
    }),
  );

  it(
    'who has no right sees nothing',
    inScene(async (scene) => {
      await scene.schedule('notes');
      const file = await callerWith(scene, []);
      await using session = await open(scene, 'approves', file);
      const { resources } = await session.client.listResources();
      expect(resources.map(({ uri }) => uri)).not.toContain('km-backup://schedules/notes');
      await expect(session.client.readResource({ uri: 'km-backup://schedules/notes' })).rejects.toThrow(
        /Forbidden: You may not do this/,
      );
      for (const [name, args] of [
        ['status', {}],
        ['list', {}],
        ['why', { name: 'notes' }],
        ['backup', { schedule: 'notes' }],
      ] as const) {
        const { failed, text } = await session.call(name, args);
        expect(failed, name).toBe(true);
        expect(text).toMatch(/^Forbidden: /);
      }
    }),
  );

  it(
    'messages of the cluster are data: escaped in text, whole in JSON',
    inScene(async (scene) => {
      await scene.schedule('notes');
      const evil = 'disk\u001b[2J\u202e full\nnotes: OK';
      await scene.all.backups.create(scene.namespace, {
        apiVersion: 'km.duskmantle.io/v1alpha1',
        kind: 'KmBackup',
        metadata: { name: 'evil' },
        spec: { scheduleName: 'notes' },
      });
      const status = { phase: 'Failed', reason: 'NoSpace', message: evil };
      await scene.all.backups.mergePatch(scene.namespace, 'evil', { status }, 'status');
      await using session = await open(scene);
      const { data, text } = await session.call('list');
      expect(data.backups[0].message).toBe(evil);
      expect(text).toContain('disk\\x1b[2J\\u{202e} full\\nnotes: OK');
    }),
  );
});

it.each([
  [['--context', 'no-such-context'], 'there is no context no-such-context'],
  [['--cluster', '--kubeconfig', '/missing/kubeconfig'], '/missing/kubeconfig cannot be read'],
  [['--cluster', '--source', '/tmp'], '--source'],
])('km-backup mcp %j is refused in words', async (args, message) => {
  const ended = await kmBackup(['mcp', ...args], { env: { KUBECONFIG: inject('kubeconfig') } });
  expectWords(ended);
  expect(ended).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(message) });
});
