/**
 * A claim is a mount point, so its tree is swapped child by child. The real program is killed in the middle of that, in
 * pods of a real Job: the operator completes or undoes the swap before it starts the workload again.
 */

import { execFile, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { isRestoreFinished } from '../../src/api/finished.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import type { KmRestore } from '../../src/api/restore.ts';
import { RestoreResult } from '../../src/api/restore-result.ts';
import { backUpFolder, checkout } from '../support/backup.ts';
import { eventually } from '../support/kubectl.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import type { Pod, StubReport } from '../support/stub-kubelet.ts';
import { describeTree } from '../support/tree.ts';

const ARCHIVES = 'backups/archives';
const runner = fileURLToPath(new URL('../support/restore-once.ts', import.meta.url));
const run = promisify(execFile);

type Tree = ReturnType<typeof describeTree>;

/** A volume with an archive of its former content, mounted as a pod has it. */
class Volume implements Disposable {
  readonly base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-swap-'));
  readonly target = path.join(this.base, 'target');
  archive = '';
  old: Tree = {};
  good: Tree = {};

  static async make(): Promise<Volume> {
    const volume = new Volume();
    const { base, target } = volume;
    fs.mkdirSync(path.join(base, 'real'));
    fs.mkdirSync(target);
    execFileSync('mount', ['--bind', path.join(base, 'real'), target]);
    fs.mkdirSync(path.join(target, ARCHIVES), { recursive: true });
    fs.mkdirSync(path.join(target, 'dir'));
    for (const name of ['dir/both', 'only-new', 'same']) fs.writeFileSync(path.join(target, name), 'good');
    const { result } = await backUpFolder(target, path.join(target, ARCHIVES));
    volume.archive = result.archive!.name;
    volume.good = volume.tree();
    fs.writeFileSync(path.join(target, 'dir/both'), 'ruined');
    fs.rmSync(path.join(target, 'only-new'));
    fs.writeFileSync(path.join(target, 'only-old'), 'old');
    volume.old = volume.tree();
    return volume;
  }

  /** Without times of directories, which the archives in them change. */
  tree(): Tree {
    const isOurs = (name: string) => name === '.km-restore' || name.startsWith(`${ARCHIVES}/`);
    const all = describeTree(this.target, isOurs);
    for (const name of ['backups', ARCHIVES, '.', '']) delete all[name];
    return all;
  }

  /** Where the pod of a Job sees the claim. */
  inPod(argument: string): string {
    return argument.replace(/^\/(target|archive)(?=\/|$)/, this.target);
  }

  [Symbol.dispose](): void {
    execFileSync('umount', [this.target]);
    fs.rmSync(this.base, { recursive: true, force: true });
  }
}

/** Runs the real program for a pod. */
async function program(volume: Volume, { metadata, spec }: Pod): Promise<StubReport> {
  const report = path.join(volume.base, metadata.uid);
  const args = spec.containers[0]!.args!.map((argument) =>
    argument.startsWith('--result-file=') ? `--result-file=${report}` : volume.inPod(argument),
  );
  const ended = await run(process.execPath, [path.join(checkout, 'dist/km-backup.js'), ...args]).then(
    () => ({ code: 0, stderr: '' }),
    (error: { code: number; stderr: string }) => error,
  );
  if (!fs.existsSync(report)) throw new Error(`km-backup ended with ${ended.code}: ${ended.stderr}`);
  const result = RestoreResult.parse(JSON.parse(fs.readFileSync(report, 'utf8')));
  return { exitCode: ended.code, result };
}

/** Steps of a swap that was killed before the one with this number; `ended` if there are not that many. */
async function killedSwap(
  volume: Volume,
  id: string,
  step: number,
): Promise<{ steps: string[]; ended: boolean }> {
  const archive = path.join(volume.target, ARCHIVES, volume.archive);
  const args = [runner, String(step), 'restore', volume.target, archive, '', 'keep', id];
  try {
    const { stdout } = await run(process.execPath, args);
    return { steps: stdout.trim().split('\n'), ended: true };
  } catch (error) {
    const { signal, stdout } = error as { signal?: string; stdout: string };
    if (signal !== 'SIGKILL') throw error;
    return { steps: stdout.trim().split('\n'), ended: false };
  }
}

async function restored(scene: OperatorScene, volume: Volume): Promise<KmRestore> {
  const archive = {
    persistentVolumeClaim: { claimName: 'state' },
    path: `${ARCHIVES}/${volume.archive}`,
  };
  await scene.all.restores.create(scene.namespace, {
    apiVersion: API_VERSION,
    kind: 'KmRestore',
    metadata: { name: 'back' },
    spec: { source: { archive }, target: { persistentVolumeClaim: { claimName: 'state' } } },
  });
  return await eventually(
    () => scene.all.restores.get(scene.namespace, 'back'),
    isRestoreFinished,
    (last) => `the restore to end: ${JSON.stringify(last?.status)}`,
    240_000,
  );
}

interface Story {
  /** Before which step the pods of the swap are killed. */
  readonly step: number;
  /** How many of its pods; the Job has three. */
  readonly pods: number;
}

/** One restore. `killed`: the step before which a pod was killed; undefined if the swap ended before that. */
const tell = inScene(async (scene, { step, pods }: Story) => {
  using volume = await Volume.make();
  let killed: string | undefined;
  let swaps = 0;
  await scene.kubelet(async (pod) => {
    if (pod.metadata.labels?.[LABELS.component] !== 'swap' || swaps++ >= pods) return program(volume, pod);
    // Every pod dies at the same point of the volume's way: later pods find it done and die before they can say so.
    const { steps, ended } = await killedSwap(
      volume,
      pod.metadata.labels[LABELS.restoreUid]!,
      swaps === 1 ? step : 0,
    );
    if (swaps === 1 && !ended) killed = steps.at(-1);
    return { exitCode: 137 };
  });
  await scene.operator();
  const { status } = await restored(scene, volume);
  return { killed, status, tree: volume.tree(), old: volume.old, good: volume.good };
});

async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: 5 }, worker));
}

/** More than a swap has. */
const STEPS = Array.from({ length: 14 }, (_, step) => step);

it('a pod that is killed before any step of the swap: the next one completes it', async () => {
  const reached: string[] = [];
  await inParallel(STEPS, async (step) => {
    const { killed, status, tree, good } = await tell({ step, pods: 1 });
    expect([step, killed, status?.phase]).toEqual([step, killed, 'Succeeded']);
    expect([step, tree]).toEqual([step, good]);
    if (killed !== undefined) reached.push(killed);
  });
  expect(reached).toContain('journal swapping');
  expect(new Set(reached).size).toBeGreaterThan(5);
}, 900_000);

it('all pods are killed: the swap is undone, and the old state is live', async () => {
  const phases = new Set<string>();
  await inParallel([1, 3, 5, 40], async (step) => {
    const { killed, status, tree, old } = await tell({ step, pods: 3 });
    phases.add(status!.phase!);
    expect([step, killed, status?.phase, status?.message]).toEqual([
      step,
      killed,
      killed === undefined ? 'RolledBack' : 'Failed',
      expect.stringMatching(killed === undefined ? /old state is live again/ : /was not changed/),
    ]);
    expect([step, tree]).toEqual([step, old]);
  });
  expect(phases).toEqual(new Set(['Failed', 'RolledBack']));
}, 900_000);
