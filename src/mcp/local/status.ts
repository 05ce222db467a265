/** How backups are, in one answer: schedule, last run, archives, an unfinished restore. */
import { z } from 'zod';
import { type ArchiveInfo, listArchives, restoreStatus } from '../../archive/index.ts';
import { type BackupCheck, backupCheck } from '../../health/index.ts';
import { formatBytes } from '../../log/units.ts';
import { describeSchedule, scheduleOf } from '../../standalone/environment.ts';
import { type State, StateFile } from '../../standalone/state.ts';
import { healthOf, upcoming } from '../../standalone/transitions.ts';
import { counted, firstOf, lines } from '../text.ts';
import { defineTool, type Tool } from '../tool.ts';
import { ArchiveState, suspicionIn } from './archives.ts';
import type { LocalSettings } from './settings.ts';

export const LocalStatus = z.object({
  source: z.string().optional(),
  destination: z.string(),
  schedule: z.object({
    enabled: z.boolean(),
    every: z.string().describe('"every 720m" or "cron EXPRESSION"'),
    next: z.string().optional().describe('Next scheduled time, if it is known'),
    running: z.string().optional().describe('Since when a run is under way'),
    retentionLimit: z.int(),
  }),
  lastRun: z
    .object({
      status: z.enum(['disabled', 'pending', 'ok', 'error', 'stopped', 'unknown']),
      last_success: z.string().optional(),
      archive: z.string().optional(),
      deleted: z.int().optional(),
      size_bytes: z.int().optional(),
      last_failure: z.string().optional(),
      error: z.string().optional(),
    })
    .describe('As checks.backup of /healthz: what km-backup serve has recorded'),
  archives: z.object({
    total: z.int(),
    bytes: z.int(),
    byState: z.record(ArchiveState, z.int()),
    newest: z.object({ name: z.string(), time: z.string(), state: ArchiveState }).optional(),
  }),
  restore: z.object({ phase: z.string(), text: z.string() }).optional(),
  problems: z.array(z.string()).describe('What is wrong, most important first; empty if nothing is'),
});
export type LocalStatus = z.infer<typeof LocalStatus>;

export function statusTool(settings: LocalSettings): Tool {
  return defineTool({
    name: 'status',
    title: 'Status of the backups',
    description:
      'The schedule, the last run that km-backup serve recorded, the archives, an unfinished restore, and what is wrong.',
    effect: 'reads',
    input: z.strictObject({}),
    output: LocalStatus,
    run: async () => {
      const data = localStatus(settings);
      return { data, text: statusText(data) };
    },
  });
}

export function localStatus(settings: LocalSettings): LocalStatus {
  const { destination, source, enabled, retentionLimit } = settings;
  const state = recorded(destination);
  const nowMs = settings.now().getTime();
  const archives = archivesOf(destination);
  const lastRun = checkOf(state, enabled, nowMs);
  const counts: Record<ArchiveInfo['class'], number> = {
    complete: 0,
    incomplete: 0,
    unverified: 0,
    corrupt: 0,
    unreadable: 0,
  };
  for (const { class: kind } of archives) counts[kind]++;
  const [newest] = archives;
  const restore = source === undefined ? undefined : restoreStatus(source);
  const status: LocalStatus = {
    source: source,
    destination,
    schedule: {
      enabled,
      every: describeSchedule({ ...settings, source: source ?? '' }),
      next: nextOf(settings, state, nowMs),
      running: state?.running && new Date(state.running.startedAtMs).toISOString(),
      retentionLimit,
    },
    lastRun,
    archives: {
      total: archives.length,
      bytes: archives.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      byState: counts,
      newest: newest
        ? { name: newest.name, time: newest.timestamp.toISOString(), state: newest.class }
        : undefined,
    },
    restore: restore && restore.phase !== 'none' ? { ...restore } : undefined,
    problems: [],
  };
  return { ...status, problems: problemsOf(status, archives) };
}

/** A destination that does not exist yet has no archives. */
function archivesOf(destination: string): ArchiveInfo[] {
  try {
    return listArchives(destination);
  } catch (error) {
    if ((error as { cause?: { code?: string } }).cause?.code === 'ENOENT') return [];
    throw error;
  }
}

/** Only read: a damaged file is the scheduler's to move aside. */
function recorded(destination: string): State | undefined {
  return new StateFile(destination).peek();
}

function checkOf(state: State | undefined, enabled: boolean, nowMs: number): BackupCheck {
  if (!state) return { status: enabled ? 'pending' : 'disabled' };
  return backupCheck(healthOf(state, { nowMs, enabled, stopped: false }));
}

function nextOf(settings: LocalSettings, state: State | undefined, nowMs: number): string | undefined {
  const { enabled, source } = settings;
  if (!enabled || !state || source === undefined) return undefined;
  const next = upcoming(state, scheduleOf({ ...settings, source }, state.anchorMs), nowMs);
  return next === null ? undefined : new Date(next).toISOString();
}

function problemsOf(
  { lastRun, archives: { byState } }: LocalStatus,
  archives: readonly ArchiveInfo[],
): string[] {
  const damaged = archives.filter(({ problem }) => problem !== undefined);
  return [
    ...(lastRun.status === 'error'
      ? [`The last run failed: ${lastRun.error ?? 'for an unknown reason'}`]
      : []),
    ...(byState['complete'] === 0 && byState['unverified'] === 0 ? ['There is no complete archive.'] : []),
    ...archives.flatMap((archive) => {
      const why = suspicionIn(archive);
      if (why === undefined) return [];
      const { name } = archive;
      return `${name} is suspicious, so nothing is removed: ${why} If it is as it should be: km-backup approve ${name}`;
    }),
    ...damaged.map(({ name, class: kind, problem }) => `${name} is ${kind}: ${problem}`),
  ];
}

export function statusText(status: LocalStatus): string {
  const { source, destination, schedule, lastRun, archives, restore, problems } = status;
  const { newest } = archives;
  const next = schedule.next === undefined ? '' : `, next ${schedule.next}`;
  return lines(
    firstOf(problems.map((problem) => `PROBLEM: ${problem}`)),
    `Backs up ${source ?? 'nothing (no source is set)'} to ${destination}.`,
    `Schedule: ${schedule.enabled ? `${schedule.every}${next}` : 'disabled (KM_BACKUP_ENABLED)'}; keeps ${schedule.retentionLimit}.`,
    schedule.running === undefined ? undefined : `A run is under way since ${schedule.running}.`,
    `Last run: ${lastRun.status}${lastRun.last_success === undefined ? '' : `; last success ${lastRun.last_success}`}.`,
    `Archives: ${counted(archives.total, 'archive')}, ${formatBytes(archives.bytes)}${newest ? `; newest ${newest.name} (${newest.state})` : ''}.`,
    restore?.text,
  );
}
