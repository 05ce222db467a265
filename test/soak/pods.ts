import type { Pod } from '../../src/operator/workloads.ts';
import { cleanResult, type StubReport } from '../support/stub-kubelet.ts';

/** One pod in sixteen finds the destination locked. */
const isLocked = (uid: string) => uid.startsWith('0');

/** The archive that a pod makes, or undefined for one that skips. */
export function archiveOf({ metadata }: Pick<Pod, 'metadata'>): string | undefined {
  return isLocked(metadata.uid) ? undefined : `km-backup-${metadata.uid.slice(0, 13)}.tgz`;
}

/**
 * What the pod reports. Its inventory is marked as truncated, so that archives missing from it are not taken for
 * removed and every KmBackup stays for the checks.
 */
export function reportOf(pod: { metadata: { uid: string } }): StubReport {
  const archive = archiveOf(pod as Pick<Pod, 'metadata'>);
  if (archive === undefined) {
    const { archive: _, ...rest } = cleanResult('none');
    const said = 'Another run holds the lock of the destination.';
    return { exitCode: 4, result: { ...rest, outcome: 'Skipped', reason: 'Locked', message: said } };
  }
  const result = cleanResult(archive);
  return { exitCode: 0, result: { ...result, present: { count: 1_000, bytes: 1_000, names: [archive] } } };
}
