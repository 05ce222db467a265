import { describe, expect, it } from 'vitest';
import { LABELS } from '../../src/api/names.ts';
import type { KmRestore } from '../../src/api/restore.ts';
import { systemClock } from '../../src/clock/index.ts';
import type { Cluster } from '../../src/fleet/cluster.ts';
import { observe } from '../../src/fleet/observe.ts';
import { applyRestore, awaitRestore, planRestore, type RestoreRequest } from '../../src/fleet/restore.ts';
import { awaitBackup, exitCodeOfBackup, runBackup } from '../../src/fleet/run-backup.ts';
import { why } from '../../src/fleet/why.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { backedUp, restoreReport } from '../support/restore-scene.ts';

const clusterOf = ({ client, all }: OperatorScene): Cluster => ({
  client,
  resources: all,
  clock: systemClock,
});
const at = ({ namespace }: OperatorScene, name: string) => ({ namespace, name });
const inPlace: RestoreRequest = {
  source: { scheduleName: 'notes' },
  target: { persistentVolumeClaim: { claimName: 'state' } },
};

describe('a run by hand', () => {
  it(
    'starts also while the schedule is suspended, and is waited for',
    inScene(async (scene) => {
      await scene.operator();
      await scene.kubelet();
      await scene.schedule('notes', { suspend: true });
      const cluster = clusterOf(scene);
      const { metadata } = await runBackup(cluster, at(scene, 'notes'));
      expect(metadata.name).toMatch(/^notes-now-/);
      const phases: (string | undefined)[] = [];
      const done = await awaitBackup(cluster, metadata, {
        onChange: ({ status }) => phases.push(status?.phase),
      });
      expect(done.status?.phase).toBe('Succeeded');
      expect(phases.at(-1)).toBe('Succeeded');
      expect(exitCodeOfBackup(done)).toBe(0);
    }),
  );

  it(
    'of a schedule that does not exist names those that do',
    inScene(async (scene) => {
      await scene.schedule('notes');
      await expect(runBackup(clusterOf(scene), at(scene, 'note'))).rejects.toThrow(
        `There is no schedule note in namespace ${scene.namespace}. There is: notes.`,
      );
    }),
  );

  it(
    'ends its wait when it is deleted, and when it is given up',
    inScene(async (scene) => {
      await scene.schedule('notes');
      const cluster = clusterOf(scene);
      const { metadata } = await runBackup(cluster, at(scene, 'notes'));
      const stop = new AbortController();
      const waiting = awaitBackup(cluster, metadata, { signal: stop.signal, onChange: () => stop.abort() });
      await expect(waiting).rejects.toMatchObject({ reason: 'Interrupted' });
      await scene.all.backups.delete(scene.namespace, metadata.name);
      await expect(awaitBackup(cluster, metadata)).rejects.toMatchObject({ reason: 'NotFound' });
    }),
  );
});

describe('a restore', () => {
  const kubelet = (scene: OperatorScene) =>
    scene.kubelet((pod) => restoreReport(pod.metadata.labels?.[LABELS.component] ?? ''));
  const restores = async ({ all, namespace }: OperatorScene): Promise<KmRestore[]> =>
    (await all.restores.list(namespace)).items;

  it(
    'is planned, then done with the digest of the plan and the archive of the plan',
    inScene(async (scene) => {
      await scene.operator();
      await kubelet(scene);
      await scene.schedule('notes');
      await backedUp(scene);
      const cluster = clusterOf(scene);
      const { restore: planned, plan } = await planRestore(cluster, scene.namespace, inPlace);
      expect(plan).toMatchObject({ added: 1, removed: 1 });
      await expect(applyRestore(cluster, planned.metadata, 'e'.repeat(64))).rejects.toMatchObject({
        reason: 'PlanChanged',
      });
      const { metadata, spec } = await applyRestore(cluster, planned.metadata, plan.digest);
      expect(spec).toMatchObject({ source: { backupName: 'first' }, planDigest: plan.digest, dryRun: false });
      expect((await restores(scene)).map((one) => one.metadata.name)).toEqual([metadata.name]);
      expect((await awaitRestore(cluster, metadata)).status).toMatchObject({ phase: 'Succeeded' });
    }),
  );

  it(
    'that cannot be planned leaves nothing behind, and says why',
    inScene(async (scene) => {
      await scene.operator();
      await scene.schedule('notes');
      await expect(planRestore(clusterOf(scene), scene.namespace, inPlace)).rejects.toThrow(
        'There is no plan: KmBackupSchedule notes has no complete archive yet.',
      );
      expect(await restores(scene)).toEqual([]);
    }),
  );

  it(
    'whose plan is given up leaves nothing behind',
    inScene(async (scene) => {
      await scene.schedule('notes');
      const stop = new AbortController();
      const planning = planRestore(clusterOf(scene), scene.namespace, inPlace, {
        signal: stop.signal,
        onChange: () => stop.abort(),
      });
      await expect(planning).rejects.toMatchObject({ reason: 'Interrupted' });
      expect(await restores(scene)).toEqual([]);
    }),
  );
});

describe('why', () => {
  it(
    'explains a schedule, its run and a restore of the real cluster',
    inScene(async (scene) => {
      await scene.operator();
      await scene.kubelet(() => ({ exitCode: 1 }));
      await scene.schedule('notes', { backoffLimit: 0 });
      const cluster = clusterOf(scene);
      const { metadata } = await runBackup(cluster, at(scene, 'notes'));
      await awaitBackup(cluster, metadata);
      const explained = async (name: string) => {
        const observed = await observe(cluster, at(scene, name));
        // Other tests install no operator in this cluster.
        return why({ ...observed, operator: { state: 'denied' } });
      };
      const run = await explained(metadata.name);
      expect(run).toMatchObject({ kind: 'KmBackup', verdict: 'problem', reason: 'ProgramFailed' });
      expect(run.facts.map(({ label }) => label)).toEqual(expect.arrayContaining(['Job', 'Pod', 'Warning']));
      expect(await explained('notes')).toMatchObject({ kind: 'KmBackupSchedule', cause: run.cause });
      await expect(explained('other')).rejects.toThrow('There is no schedule, backup or restore other');
    }),
  );

  it(
    'says that no operator is installed',
    inScene(async (scene) => {
      await scene.schedule('notes');
      const { cause } = why(await observe(clusterOf(scene), at(scene, 'notes')));
      expect(cause).toMatch(/^The operator is not installed|^No operator serves/);
    }),
  );
});
