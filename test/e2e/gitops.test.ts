/** What GitOps tools rely on: the operator changes nothing that they applied, and owns nothing of it. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { ensureKstatus, kstatusOf } from '../support/kstatus.ts';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { kmRestore, restored, runNow, schedule } from '../support/resources.ts';
import { applyDataClaimWithNote, claim } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

const source = { persistentVolumeClaim: { claimName: 'data' } };
const nightly = schedule('nightly', { cron: '0 3 1 1 *', source, retention: { limit: 2 } });
const check = kmRestore('check', {
  source: { scheduleName: 'nightly' },
  target: { persistentVolumeClaim: { claimName: 'data' } },
  dryRun: true,
});

let kubectl: Kubectl;
let remove: () => Promise<void>;
beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('gitops'));
  await applyDataClaimWithNote(kubectl, cluster().image);
  await kubectl.apply([nightly]);
  expect((await runNow(kubectl, 'nightly')).status?.phase).toBe('Succeeded');
  expect((await restored(kubectl, check)).status?.phase).toBe('Planned');
});
afterAll(() => remove?.());

describe('kstatus', () => {
  it('reads each kind right, as GitOps tools wait by it', async () => {
    await kubectl.apply([
      claim('empty'),
      schedule('lost', { cron: '0 3 1 1 *', source: { persistentVolumeClaim: { claimName: 'missing' } } }),
      schedule('hollow', {
        suspend: true,
        source: { persistentVolumeClaim: { claimName: 'empty' } },
        destination: { persistentVolumeClaim: { claimName: 'data' } },
      }),
      schedule('waiting', {
        suspend: true,
        source,
        podTemplate: { nodeSelector: { 'km-e2e.example/no': 'node' } },
      }),
    ]);
    const failed = await runNow(kubectl, 'hollow');
    const waiting = await kubectl.create({
      apiVersion: 'km.duskmantle.io/v1alpha1',
      kind: 'KmBackup',
      metadata: { generateName: 'waiting-now-' },
      spec: { scheduleName: 'waiting' },
    });
    const none = kmRestore('none', {
      source: { backupName: 'missing' },
      target: { persistentVolumeClaim: { claimName: 'data' } },
    });
    expect((await restored(kubectl, none)).status?.phase).toBe('Failed');
    const [done] = (await kubectl.list('kmbackups')).filter(({ status }) => status?.phase === 'Succeeded');
    const ready = ({ status }: KubeObject) => status?.conditions?.length > 0;
    const objects = [
      await kubectl.until('kmbackupschedule', 'nightly', ready),
      await kubectl.until('kmbackupschedule', 'lost', ready),
      done!,
      failed,
      await kubectl.until('kmbackup', waiting.metadata.name, ready),
      await kubectl.until('kmrestore', 'check', ready),
      await kubectl.until('kmrestore', 'none', ready),
    ];
    const seen = await kstatusOf(await ensureKstatus(), objects);
    expect(seen).toEqual(['Current', 'InProgress', 'Current', 'Failed', 'InProgress', 'Current', 'Failed']);
  });
});

describe.each([
  ['KmBackupSchedule', nightly],
  ['KmRestore', check],
])('a %s that the operator has worked on', (_, object) => {
  it('is what was applied: "kubectl diff" shows nothing', async () => {
    // Ends with status 1, and the call fails, if there is a difference.
    await expect(kubectl.run(['diff', '-f', '-'], stringify(object))).resolves.toBe('');
    await expect(kubectl.run(['diff', '--server-side', '-f', '-'], stringify(object))).resolves.toBe('');
  });

  it('can be applied by another field manager without a conflict', async () => {
    const asManager = ['apply', '--server-side', '--field-manager=gitops', '-f', '-'];
    await expect(kubectl.run(asManager, stringify(object))).resolves.toMatch(/serverside-applied/);
  });
});
