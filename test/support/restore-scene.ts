/** A scene with a backup to restore, and pods that report what each phase of a restore reports. */
import type { KmBackupStatus } from '../../src/api/backup.ts';
import { API_VERSION } from '../../src/api/names.ts';
import type { RestoreResult } from '../../src/api/restore-result.ts';
import type { OperatorScene } from './operator-scene.ts';
import { cleanResult, type StubReport } from './stub-kubelet.ts';

export const ARCHIVE = 'km-backup-20260101T000000Z.tgz';

/** The copy that a location has. */
export const FOUND = {
  archive: ARCHIVE,
  series: 'lost/notes',
  sha256: 'a'.repeat(64),
  manifestSha256: 'b'.repeat(64),
  sizeBytes: 10,
  startedAt: '2026-01-01T00:00:00Z',
};

/** What the pods of a restore report, by the phase that they carry out. */
export function restoreReport(phase: string, more: Partial<RestoreResult> = {}): StubReport {
  const now = new Date().toISOString();
  const restored = { entries: 3, files: 2, bytes: 10, reusedBytes: 4 };
  const result: RestoreResult = {
    version: 1,
    command: phase === 'swap' ? 'restore' : phase === 'discard' ? 'rollback' : (phase as 'plan'),
    outcome: 'Succeeded',
    reason: 'Restored',
    message: 'done',
    startedAt: now,
    finishedAt: now,
    warnings: { count: 0, samples: [] },
    ...(phase === 'find' && { found: FOUND }),
    ...(phase === 'stage' && { restored }),
    ...(phase === 'swap' && { restored: { ...restored, oldState: '.km-restore/old' } }),
    ...(phase === 'plan' && {
      plan: {
        digest: 'd'.repeat(64),
        added: 1,
        changed: 1,
        removed: 1,
        kept: 1,
        bytesToWrite: 10,
        spaceNeededBytes: 20,
        samples: ['+ a'],
      },
    }),
    ...more,
  };
  return { exitCode: result.outcome === 'Succeeded' ? 0 : 1, result };
}

/** A run of the past, with its archive. */
export async function backedUp({ all, namespace }: OperatorScene): Promise<void> {
  const { metadata } = await all.backups.create(namespace, {
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: { name: 'first' },
    spec: { scheduleName: 'notes' },
  });
  const { archive } = cleanResult(ARCHIVE);
  const { path: _, ...digests } = archive!;
  const status: KmBackupStatus = {
    phase: 'Succeeded',
    completionTime: '2026-01-01T00:00:07Z',
    archive: { ...digests, claimName: 'state', path: 'backups/archives' },
  };
  await all.backups.mergePatch(namespace, metadata.name, { status }, 'status');
}
