/** A suspicious archive against the real API server: conditions, Events, and the approval that reaches the next Job. */
import { expect, it } from 'vitest';
import type { KmBackupStatus } from '../../src/api/backup.ts';
import { ANNOTATIONS } from '../../src/api/names.ts';
import type { RunResult } from '../../src/api/run-result.ts';
import { eventually } from '../support/kubectl.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { cleanResult } from '../support/stub-kubelet.ts';

type Conditions = NonNullable<KmBackupStatus['conditions']>;

const GUARD = { maxShrinkPercent: 30, maxChangePercent: 60 };
const nameOf = (run: number) => `km-backup-20260101T00000${run}Z.tgz`;

/** Runs of which the second finds its source emptied; the program notes an approval that it is told of. */
async function prepared(scene: OperatorScene): Promise<string[][]> {
  const seen: string[][] = [];
  const names: string[] = [];
  let suspicious: string[] = [];
  await scene.kubelet((pod) => {
    const args = pod.spec.containers[0]!.args ?? [];
    seen.push(args);
    const approved = args
      .filter((arg) => arg.startsWith('--approve='))
      .map((arg) => arg.slice('--approve='.length));
    suspicious = suspicious.filter((name) => !approved.includes(name));
    const name = nameOf(seen.length);
    names.unshift(name);
    const isBad = seen.length === 2;
    if (isBad) suspicious = [...suspicious, name];
    const clean = cleanResult(name);
    const result: RunResult = {
      ...clean,
      present: { count: names.length, bytes: names.length, names: [...names], suspicious },
      ...(isBad && {
        suspicious: {
          comparedWith: nameOf(1),
          rules: ['shrink'],
          message: 'The source has 90% fewer files.',
        },
      }),
    };
    return { exitCode: 0, result };
  });
  return seen;
}

const conditionOf = ({ status }: { status?: { conditions?: Conditions | undefined } }) =>
  status?.conditions?.find(({ type }) => type === 'Suspicious');

async function run(scene: OperatorScene, name: string): Promise<void> {
  await scene.runNow('notes', name);
  await scene.finished(name);
}

it(
  'a suspicious archive is named in conditions and an Event, and ends when a person approves it',
  inScene(async (scene) => {
    const seen = await prepared(scene);
    await scene.schedule('notes', { guard: GUARD });
    await scene.operator();
    await run(scene, 'one');
    expect(seen[0]).toEqual(
      expect.arrayContaining(['--guard-max-shrink-percent=30', '--guard-max-change-percent=60']),
    );
    await scene.scheduleUntil('notes', (schedule) => conditionOf(schedule)?.reason === 'NothingSuspicious');

    await run(scene, 'two');
    expect(conditionOf(await scene.all.backups.get(scene.namespace, 'two'))).toMatchObject({
      status: 'True',
      reason: 'Suspicious',
      message: 'The source has 90% fewer files.',
    });
    const bad = await scene.scheduleUntil('notes', (schedule) => conditionOf(schedule)?.status === 'True');
    expect(bad.status?.suspicions).toEqual({ backups: ['two'], approvedArchives: [] });
    expect(conditionOf(bad)).toMatchObject({
      message: expect.stringContaining(`kubectl annotate kmb two ${ANNOTATIONS.approved}=true`) as string,
    });
    await eventually(
      () => scene.all.events.list(scene.namespace),
      ({ items }) => items.filter(({ reason }) => reason === 'BackupSuspicious').length === 2,
      () => 'an Event on the run and on the schedule',
    );

    await run(scene, 'three');
    expect(seen[2]!.filter((arg) => arg.startsWith('--approve'))).toEqual([]);
    expect(conditionOf(await scene.all.schedules.get(scene.namespace, 'notes'))?.status).toBe('True');

    const annotations = { [ANNOTATIONS.approved]: 'true' };
    await scene.all.backups.mergePatch(scene.namespace, 'two', { metadata: { annotations } });
    const approved = await scene.scheduleUntil(
      'notes',
      (schedule) => conditionOf(schedule)?.status === 'False',
    );
    expect(approved.status?.suspicions).toEqual({ backups: [], approvedArchives: [nameOf(2)] });
    const two = await scene.backupUntil('two', (status) => conditionOf({ status })?.reason === 'Approved');
    // What the cache does not keep is still there.
    expect(two.status).toMatchObject({
      phase: 'Succeeded',
      archive: { entries: expect.any(Number) as number },
    });
    expect(two.status?.conditions?.map(({ type }) => type).sort()).toEqual([
      'Progressing',
      'Succeeded',
      'Suspicious',
    ]);

    await run(scene, 'four');
    expect(seen[3]).toContain(`--approve=${nameOf(2)}`);
    const settled = await scene.scheduleUntil('notes', ({ status }) => status?.suspicions === undefined);
    expect(conditionOf(settled)?.status).toBe('False');
    await run(scene, 'five');
    expect(seen[4]!.filter((arg) => arg.startsWith('--approve'))).toEqual([]);
  }),
);

it(
  'an approval on the destination ends it too',
  inScene(async (scene) => {
    let runs = 0;
    await scene.kubelet(() => {
      runs++;
      const clean = cleanResult(nameOf(runs));
      const names = Array.from({ length: runs }, (_, index) => nameOf(index + 1)).reverse();
      const suspicious =
        runs === 1 ? { comparedWith: 'x', rules: ['change'], message: 'Changed.' } : undefined;
      const present = { count: runs, bytes: runs, names, suspicious: runs < 3 ? [nameOf(1)] : [] };
      return { exitCode: 0, result: { ...clean, present, ...(suspicious && { suspicious }) } };
    });
    await scene.schedule('notes');
    await scene.operator();
    await run(scene, 'one');
    await scene.scheduleUntil('notes', (schedule) => conditionOf(schedule)?.status === 'True');
    await run(scene, 'two');
    await scene.scheduleUntil('notes', ({ status }) => status?.archives?.count === 2);
    expect(conditionOf(await scene.all.schedules.get(scene.namespace, 'notes'))?.status).toBe('True');
    await run(scene, 'three');
    // Without a guard the condition goes with the last suspicion.
    await scene.scheduleUntil('notes', (schedule) => conditionOf(schedule) === undefined);
  }),
);

it(
  'limits that make no sense are refused',
  inScene(async (scene) => {
    for (const guard of [{ maxShrinkPercent: 0 }, { maxChangePercent: 101 }, { maxShrinkPercent: 1.5 }]) {
      await expect(scene.schedule('notes', { guard })).rejects.toThrow(/spec\.guard\.max/);
    }
  }),
);
