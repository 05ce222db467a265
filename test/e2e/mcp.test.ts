/** `km-backup mcp` for a cluster, with the official client: the tools that need a kubelet, and a whole restore. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { KubeClient } from '../../src/kube/client.ts';
import { fromKubeconfig } from '../../src/kube/config.ts';
import { application } from '../support/application.ts';
import { callerWith, type Rule } from '../support/caller.ts';
import type { Kubectl } from '../support/kubectl.ts';
import { type Person, Session } from '../support/mcp.ts';
import { schedule } from '../support/resources.ts';
import { claim } from '../support/volume.ts';
import { cluster, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;
const kubeconfigs: (() => Promise<void>)[] = [];
let client: KubeClient;

const open = (person?: Person, kubeconfig = cluster().kubeconfig) =>
  Session.stdio(['--kubeconfig', kubeconfig, '--namespace', kubectl.namespace], { person });

async function inApp(program: string): Promise<string> {
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  return kubectl.run(['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'], program);
}
const writes = (text: string) =>
  inApp(`import { writeFileSync } from 'node:fs'; writeFileSync('/data/plan.md', ${JSON.stringify(text)});`);
const reads = () =>
  inApp(`import { readFileSync } from 'node:fs'; process.stdout.write(readFileSync('/data/plan.md'));`);

const readers = async () => {
  const jobs = await kubectl.list('jobs', '-l', 'app.kubernetes.io/component=reader');
  return jobs.filter(({ metadata }) => !('deletionTimestamp' in metadata));
};

async function kubeconfigWith(name: string, rules: readonly Rule[]): Promise<string> {
  const { kubeconfig } = cluster();
  const made = await callerWith({ client, namespace: kubectl.namespace, kubeconfig }, rules, name);
  kubeconfigs.push(made.remove);
  return made.file;
}

const names: string[] = [];

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('mcp'));
  client = new KubeClient(await fromKubeconfig(cluster().kubeconfig));
  await kubectl.apply([
    claim('data'),
    application('app', cluster().image, 'data'),
    schedule('app', { suspend: true, source: { persistentVolumeClaim: { claimName: 'data' } } }),
  ]);
  await using session = await open();
  for (const text of ['first plan', 'second plan, which is longer']) {
    await writes(text);
    const backup = await session.call('backup', { schedule: 'app' });
    expect(backup.text).toMatch(/^Backup written to .+ on claim data$/);
    names.push(backup.data.name);
  }
});
afterAll(async () => {
  for (const end of kubeconfigs) await end();
  await client?.close();
  await remove?.();
});

describe('archives are read in a pod', () => {
  it('verify, diff and history', async () => {
    await using session = await open();
    const verified = await session.call('verify', { archives: names, deep: true });
    expect(verified.data, verified.text).toMatchObject({ sound: true });
    expect(verified.data.archives).toHaveLength(2);
    const diff = await session.call('diff', { before: names[0], after: names[1] });
    expect(diff.data, diff.text).toMatchObject({ differences: [{ change: 'changed', path: 'plan.md' }] });
    const history = await session.call('history', { schedule: 'app', path: 'plan.md' });
    expect(history.data.versions, history.text).toMatchObject([{ change: 'changed' }, { change: 'oldest' }]);
    expect(await readers()).toEqual([]);
  });

  it('not for somebody who may not run a program in a pod, and nothing is started', async () => {
    const looks = await kubeconfigWith('looks', [
      { apiGroups: ['km.duskmantle.io'], resources: ['*'], verbs: ['get', 'list'] },
      { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'delete', 'list'] },
    ]);
    await using session = await open('approves', looks);
    const refused = await session.call('history', { schedule: 'app', path: 'plan.md' });
    expect(refused.failed).toBe(true);
    expect(refused.text).toMatch(/^Denied: .*create pods\/exec/);
    expect(await readers()).toEqual([]);
  });
});

describe('a restore', () => {
  const wish = () => ({ backup: names[0], claim: 'data', quiesce: true, keepOldStateFor: '0' });

  it('is refused without approval, with an outdated digest, and by somebody without rights', async () => {
    await using silent = await open();
    const { plan, planDigest } = (await silent.call('restore_plan', wish())).data;
    expect((await silent.call('restore', { plan, planDigest })).text).toMatch(/^ApprovalUnavailable: /);
    await using declines = await open('declines');
    expect((await declines.call('restore', { plan, planDigest })).text).toMatch(/^ApprovalDeclined: /);
    await using approves = await open('approves');
    const outdated = await approves.call('restore', { plan, planDigest: 'e'.repeat(64) });
    expect(outdated.text).toMatch(/^PlanChanged: /);
    const looks = await kubeconfigWith('nobody', [
      { apiGroups: ['km.duskmantle.io'], resources: ['*'], verbs: ['get', 'list'] },
    ]);
    await using powerless = await open('approves', looks);
    expect((await powerless.call('restore_plan', wish())).text).toMatch(/^Forbidden: /);
    expect((await powerless.call('restore', { plan, planDigest })).text).toMatch(/^Forbidden: /);
    expect(await reads()).toBe('second plan, which is longer');
    await kubectl.run(['delete', 'kmrestore', plan]);
  });

  it('is planned, shown, approved and done', async () => {
    await using session = await open('approves');
    const planned = await session.call('restore_plan', wish());
    const { plan, planDigest, changes } = planned.data;
    expect(changes, planned.text).toMatchObject({ added: 0, removed: 0 });
    const restored = await session.call('restore', { plan, planDigest });
    expect(session.asked).toHaveLength(1);
    expect(session.asked[0]).toContain(`Restore claim data in namespace ${kubectl.namespace}`);
    expect(restored.data, restored.text).toMatchObject({ phase: 'Succeeded' });
    expect(await reads()).toBe('first plan');
  });
});
