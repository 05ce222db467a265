import type { RestoreResult } from '../../src/api/restore-result.ts';
import type { StubReport } from './stub-kubelet.ts';

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
