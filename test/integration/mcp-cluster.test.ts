/** The tools of `km-backup mcp --cluster` against a real API server, with the rights of the caller and no others. */
import { describe, expect, inject, it } from 'vitest';
import { LABELS } from '../../src/api/names.ts';
import { callerWith as accountWith, type Rule } from '../support/caller.ts';
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

const open = (
  { namespace, kubeconfig }: OperatorScene,
  person?: Person,
  file = kubeconfig,
  more: readonly string[] = [],
) => Session.stdio(['--kubeconfig', file, '--namespace', namespace, ...more], { person });

const restoresOf = async ({ all, namespace }: OperatorScene) => (await all.restores.list(namespace)).items;

/** The Jobs whose pods read archives; not those that are on their way out. */
const readersOf = async ({ all, namespace }: OperatorScene) =>
  (await all.jobs.list(namespace, { labelSelector: `${LABELS.component}=reader` })).items.filter(
    ({ metadata }) => !metadata.deletionTimestamp,
  );

/** A kubeconfig of somebody with these rights on our resources in the namespace, and with these others. */
async function callerWith(
  scene: OperatorScene,
  verbs: readonly string[],
  others: readonly Rule[] = [],
): Promise<string> {
  const ours = verbs.length > 0 ? [{ apiGroups: ['km.duskmantle.io'], resources: ['*'], verbs }] : [];
  const { file, remove } = await accountWith(scene, [...ours, ...others]);
  scene.onEnd(remove);
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

describe('tools that read archives', () => {
  const calls = [
    ['verify', { archives: ['first'] }],
    ['verify', { archives: ['first'], all: true }],
    ['diff', { before: 'first', after: 'first' }],
    ['history', { schedule: 'notes', path: 'a' }],
  ] as const;
  const jobs = { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'delete'] };
  const pods = { apiGroups: [''], resources: ['pods'], verbs: ['list'] };
  const create = { apiGroups: [''], resources: ['pods/exec'], verbs: ['create'] };

  it.each([
    [[], 'list pods, create jobs, delete jobs, create pods/exec, get pods/exec'],
    [[pods, { ...jobs, verbs: ['create'] }, create], 'delete jobs, get pods/exec'],
    [[pods, jobs], 'create pods/exec, get pods/exec'],
  ])('name the rights that are missing, and start nothing: %j', (others, missing) =>
    inScene(async (scene) => {
      await scene.schedule('notes');
      await backedUp(scene);
      const file = await callerWith(scene, ['get', 'list'], others);
      await using session = await open(scene, undefined, file);
      for (const [name, args] of calls) {
        const { failed, text } = await session.call(name, args);
        expect([name, failed, text]).toEqual([name, true, expect.stringMatching(/^Denied: /)]);
        expect(text).toContain(
          `You may not do this: reading an archive starts a pod for a moment, and in namespace ${scene.namespace} you may not ${missing}. Ask for that`,
        );
      }
      expect(await readersOf(scene)).toEqual([]);
    })(),
  );

  it(
    'say what is not there',
    inScene(async (scene) => {
      await scene.schedule('notes');
      await backedUp(scene);
      await using session = await open(scene, undefined, scene.kubeconfig, ['--image', 'km-backup:test']);
      for (const [name, args, words] of [
        ['verify', { archives: ['first', 'none'] }, 'There is no backup none in namespace'],
        ['diff', { after: 'first' }, 'There is no archive before that of first in schedule notes'],
        ['history', { schedule: 'none', path: 'a' }, 'There is no backup none in namespace'],
      ] as const) {
        const { failed, text } = await session.call(name, args);
        expect([name, failed, text]).toEqual([name, true, expect.stringContaining(`NotFound: ${words}`)]);
      }
      for (const archives of [[], ['']])
        expect((await session.call('verify', { archives })).failed).toBe(true);
      expect(await readersOf(scene)).toEqual([]);
    }),
  );

  it.each(calls)('%s %j removes its pod when it is cancelled, and when the server ends', (name, args) =>
    inScene(async (scene) => {
      await scene.schedule('notes');
      await backedUp(scene);
      const session = await open(scene, undefined, scene.kubeconfig, ['--image', 'km-backup:test']);
      const started = () =>
        eventually(
          () => readersOf(scene),
          (readers) => readers.length === 1,
          (last) => `one Job, not ${last?.length}`,
        );
      const gone = () =>
        eventually(
          () => readersOf(scene),
          (readers) => readers.length === 0,
          (last) => `no Job, not ${last?.length}`,
        );
      const controller = new AbortController();
      const messages: string[] = [];
      const cancelled = session.call(name, args, {
        signal: controller.signal,
        onprogress: ({ message = '' }) => {
          messages.push(message);
          controller.abort('enough');
        },
      });
      await expect(cancelled).rejects.toThrow();
      // Said only once the Job is there.
      expect(messages[0]).toMatch(/^Pod that reads the archive /);
      await gone();
      const ended = session.call(name, args).catch(() => undefined);
      await started();
      await session[Symbol.asyncDispose]();
      await ended;
      await gone();
    })(),
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
