/** What the pages on the plugin show: schedules in several states, and a restore with a plan. */
import type { KmBackupStatus } from '../../src/api/backup.ts';
import type { KmBackupScheduleStatus } from '../../src/api/backup-schedule.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import type { RestoreResult } from '../../src/api/restore-result.ts';
import type { OperatorScene } from './operator-scene.ts';
import { backedUp, restoreReport } from './restore-scene.ts';

export const PLAN: NonNullable<RestoreResult['plan']> = {
  digest: 'b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c',
  added: 1,
  changed: 2,
  removed: 1,
  kept: 1380,
  bytesToWrite: 48_120,
  spaceNeededBytes: 65_536,
  spaceFreeBytes: 20_401_094_656,
  samples: ['+ notes/plan.md', '~ app.db', '~ config/app.yaml', '- notes/draft.md'],
};

const HOUR_MS = 3_600_000;
/** In this many hours, and a half so that no test is at an edge. */
const time = (hours: number): string =>
  `${new Date(Date.now() + hours * HOUR_MS + HOUR_MS / 2).toISOString().slice(0, 19)}Z`;
const condition = (type: string, status: 'True' | 'False', reason: string, message: string) => ({
  type,
  status,
  reason,
  message,
  lastTransitionTime: time(-100),
});
const ready = condition('Ready', 'True', 'Scheduled', 'Runs start at 02:41 UTC.');
const NO_SPACE =
  '/destination/backups/archives: no space left (ENOSPC). No archive was removed; free space or enlarge the volume.';

/** One schedule that is well, one whose last run failed, and one that is suspended, with two runs. */
export async function populated(made: OperatorScene): Promise<void> {
  const { all, namespace } = made;
  const statuses: Record<string, KmBackupScheduleStatus> = {
    'gateway-state': {
      lastSuccessfulTime: time(-9),
      nextScheduleTime: time(17),
      archives: { count: 7, bytes: 8_200_000_000 },
      lastBackup: { name: 'gateway-state-20261126', phase: 'Succeeded' },
    },
    wiki: {
      lastSuccessfulTime: time(-15),
      nextScheduleTime: time(17),
      archives: { count: 6, bytes: 1_200_000_000 },
      lastBackup: { name: 'wiki-20261125', phase: 'Failed', message: NO_SPACE },
    },
  };
  for (const [name, status] of Object.entries(statuses)) {
    await made.schedule(name, { cron: '41 2 * * *' });
    const full = { observedGeneration: 1, conditions: [ready], schedule: '41 2 * * *', ...status };
    await all.schedules.mergePatch(namespace, name, { status: full }, 'status');
  }
  await made.schedule('old-forum', { suspend: true, cron: '41 2 * * *' });
  const archive = {
    name: 'km-backup-20261126T024100Z.tgz',
    claimName: 'archives',
    path: 'backups/archives',
    sizeBytes: 1_234_567_890,
    files: 24_031,
  };
  const runs: Record<string, KmBackupStatus> = {
    'wiki-20261125': {
      phase: 'Failed',
      reason: 'NoSpace',
      message: NO_SPACE,
      completionTime: time(-10),
      durationSeconds: 12,
      conditions: [condition('Succeeded', 'False', 'NoSpace', 'no space left')],
    },
    'gateway-state-20261126': {
      phase: 'Succeeded',
      reason: 'ArchiveVerified',
      completionTime: time(-9),
      durationSeconds: 63.2,
      archive: { ...archive, name: `km-backup-${time(-9).replaceAll(/[-:]/g, '')}.tgz` },
    },
  };
  for (const [name, status] of Object.entries(runs)) {
    const scheduleName = name.replace(/-\d+$/, '');
    await all.backups.create(namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackup',
      metadata: { name },
      spec: { scheduleName },
    });
    await all.backups.mergePatch(namespace, name, { status }, 'status');
  }
}

/** A schedule `notes` with a backup `first`, whose restore has a plan. */
export async function withPlan(made: OperatorScene, plan = PLAN): Promise<void> {
  await made.operator();
  await made.kubelet((pod) => {
    const report = restoreReport(pod.metadata.labels?.[LABELS.component] ?? '');
    return { ...report, result: { ...report.result, plan } as RestoreResult };
  });
  await made.schedule('notes');
  await backedUp(made);
}
