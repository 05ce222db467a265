/** The examples of docs/kubectl-plugin.md print what the page shows. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { KmBackupStatus } from '../../src/api/backup.ts';
import type { KmBackupScheduleStatus } from '../../src/api/backup-schedule.ts';
import { API_VERSION, LABELS } from '../../src/api/names.ts';
import type { RestoreResult } from '../../src/api/restore-result.ts';
import { checkout } from '../support/backup.ts';
import { expectPlain, kubectlKm } from '../support/kubectl-km.ts';
import { inScene, type OperatorScene } from '../support/operator-scene.ts';
import { backedUp, restoreReport } from '../support/restore-scene.ts';

const page = readFileSync(join(checkout, 'docs/kubectl-plugin.md'), 'utf8');
const COLUMNS = '80';

/** Command -> what the page shows below it. */
const examples = new Map(
  [...page.matchAll(/^```console\n\$ kubectl km (.*)\n([\s\S]*?)^```$/gm)].map(([, command, text]) => [
    command!,
    text!,
  ]),
);

async function shows({ kubeconfig, namespace }: OperatorScene, command: string): Promise<void> {
  const ended = await kubectlKm([...command.split(' '), '-n', namespace], { kubeconfig, env: { COLUMNS } });
  expectPlain(ended);
  expect(ended.stdout.trimEnd()).toBe(examples.get(command)?.trimEnd());
}

const PLAN: RestoreResult['plan'] = {
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

async function populated(made: OperatorScene): Promise<void> {
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

it(
  'status, why and list',
  inScene(async (made) => {
    await populated(made);
    await shows(made, 'status');
    await shows(made, 'why wiki-20261125');
    await shows(made, 'list');
  }),
);

it(
  'restore --plan',
  inScene(async (made) => {
    await made.operator();
    await made.kubelet((pod) => {
      const report = restoreReport(pod.metadata.labels?.[LABELS.component] ?? '');
      return { ...report, result: { ...report.result, plan: PLAN } as RestoreResult };
    });
    await made.schedule('notes');
    await backedUp(made);
    await shows(made, 'restore notes --plan');
  }),
);

it('import', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'km-import-'));
  try {
    const variables = /^```sh\n# gateway\.env\n([\s\S]*?)^```$/m.exec(page)![1]!;
    writeFileSync(join(folder, 'gateway.env'), variables);
    const command = 'import gateway.env --claim gateway-state';
    const ended = await kubectlKm(command.replace('gateway.env', join(folder, 'gateway.env')).split(' '), {
      kubeconfig: '/none',
    });
    expectPlain(ended);
    expect(ended.code).toBe(0);
    expect((ended.stdout + ended.stderr).trimEnd()).toBe(examples.get(command)?.trimEnd());
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('every example of the page is run here', () => {
  expect([...examples.keys()].sort()).toEqual(
    [
      'import gateway.env --claim gateway-state',
      'list',
      'restore notes --plan',
      'status',
      'why wiki-20261125',
    ].sort(),
  );
});
