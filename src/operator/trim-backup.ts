import { isFinished, type KmBackup, type KmBackupStatus } from '../api/backup.ts';
import { LABELS } from '../api/names.ts';
import { trimmedMeta } from './workloads.ts';

/** Strings that many runs have in common, so that each is in memory once; forgotten when there are so many. */
const REMEMBERED = 20_000;
const shared = new Map<string, string>();

function share(text: string): string {
  const known = shared.get(text);
  if (known !== undefined) return known;
  if (shared.size >= REMEMBERED) shared.clear();
  shared.set(text, text);
  return text;
}

function trimmedStatus(status: KmBackupStatus): KmBackupStatus {
  const { phase, message, completionTime, durationSeconds, archive, warnings, pruned, present } = status;
  return {
    ...(phase && { phase }),
    ...(message !== undefined && { message }),
    ...(completionTime && { completionTime }),
    ...(durationSeconds !== undefined && { durationSeconds }),
    ...(archive && {
      archive: {
        name: share(archive.name),
        claimName: share(archive.claimName),
        path: share(archive.path),
        ...(archive.sizeBytes !== undefined && { sizeBytes: archive.sizeBytes }),
        ...(archive.sha256 !== undefined && { sha256: archive.sha256 }),
        ...(archive.sourceBytes !== undefined && { sourceBytes: archive.sourceBytes }),
        ...(archive.reusedBytes !== undefined && { reusedBytes: archive.reusedBytes }),
      },
    }),
    ...(warnings && { warnings: { count: warnings.count, samples: [] } }),
    ...(pruned && { pruned: { ...pruned, names: pruned.names.map(share) } }),
    ...(present && { present: { ...present, names: present.names.map(share) } }),
  };
}

/** Drops what no decision reads of a run that is over, since they stay as long as their archives do. */
export function trimBackup(backup: KmBackup): KmBackup {
  const { labels, namespace, ...metadata } = trimmedMeta(backup.metadata);
  const scheduleUid = labels?.[LABELS.scheduleUid];
  const { scheduleName, scheduledTime, archiveName } = backup.spec;
  return {
    apiVersion: share(backup.apiVersion),
    kind: 'KmBackup',
    metadata: {
      ...metadata,
      namespace: share(namespace),
      ...(scheduleUid && { labels: { [LABELS.scheduleUid]: share(scheduleUid) } }),
    },
    spec: {
      scheduleName: share(scheduleName),
      ...(scheduledTime && { scheduledTime }),
      ...(archiveName !== undefined && { archiveName }),
    },
    ...(backup.status && { status: isFinished(backup) ? trimmedStatus(backup.status) : backup.status }),
  };
}
