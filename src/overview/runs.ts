import { archiveTimeOf } from '../api/archive-time.ts';
import { isFinished } from '../api/finished.ts';
import { adviceOf } from './advice.ts';
import type { ArchiveOverview, RunOverview } from './model.ts';
import { byTime, known, type RunRecord, timeOf } from './records.ts';

/** So many of the newest runs of a schedule are listed. */
export const MAX_RUNS = 1_000;

function archiveOf({ status }: RunRecord): ArchiveOverview | undefined {
  const { archive } = status ?? {};
  if (archive?.name === undefined) return undefined;
  const { name, sizeBytes, sourceBytes, reusedBytes } = archive;
  const time = timeOf(archiveTimeOf({ status: { ...status, archive: { name } } }));
  return known({ name, time, sizeBytes, sourceBytes, reusedBytes });
}

export function runOverview(record: RunRecord): RunOverview {
  const { metadata, spec, status } = record;
  const archive = archiveOf(record);
  const found = spec.archiveName !== undefined;
  const completionTime = timeOf(status?.completionTime);
  const created = timeOf(metadata.creationTimestamp);
  const time =
    (found ? archive?.time : timeOf(spec.scheduledTime)) ??
    created ??
    completionTime ??
    new Date(0).toISOString();
  return known({
    name: metadata.name,
    phase: status?.phase ?? 'Pending',
    time,
    byHand: !found && spec.scheduledTime === undefined ? true : undefined,
    startTime: timeOf(status?.startTime),
    completionTime,
    durationSeconds: status?.durationSeconds,
    reason: status?.reason,
    message: status?.message,
    todo: adviceOf(status?.reason, { name: metadata.name }),
    warnings: status?.warnings?.count,
    archive,
  });
}

export interface ScheduleRuns {
  running: RunOverview[];
  runs: RunOverview[];
  omitted: number;
}

/** The runs of a schedule, the oldest first. */
export function runsOf(records: readonly RunRecord[]): ScheduleRuns {
  const sorted = (list: readonly RunRecord[]) =>
    list.map(runOverview).sort((a, b) => byTime(a.time, b.time) || (a.name < b.name ? -1 : 1));
  const ended = records.filter(isFinished);
  const runs = sorted(ended);
  return {
    running: sorted(records.filter((record) => !isFinished(record))),
    runs: runs.slice(-MAX_RUNS),
    omitted: Math.max(0, runs.length - MAX_RUNS),
  };
}
