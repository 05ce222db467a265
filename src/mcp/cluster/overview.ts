/** Tools that look at a namespace: status, list and coverage. */
import { z } from 'zod';
import { readOverview } from '../../fleet/overview.ts';
import { formatBytes } from '../../log/units.ts';
import type { ClaimOverview, RunOverview, ScheduleOverview } from '../../overview/index.ts';
import { counted, lines } from '../text.ts';
import { defineTool, type Tool } from '../tool.ts';
import type { Caller } from './caller.ts';

const Finding = z.object({
  reason: z.string(),
  message: z.string(),
  todo: z.string().optional(),
  object: z.string().optional(),
});

export const ScheduleStatus = z.object({
  name: z.string(),
  health: z.string().describe('OK, or what is wrong in one word'),
  schedule: z.string().describe('When runs start, in words'),
  suspended: z.boolean(),
  claim: z.string().optional(),
  lastSuccess: z.string().optional(),
  lastArchive: z.string().optional(),
  next: z.string().optional(),
  archives: z.object({ count: z.int(), bytes: z.int() }).optional(),
  running: z.array(z.string()).describe('KmBackups that have not ended'),
  findings: z.array(Finding).describe('What is to know, the worst first; empty when all is well'),
});
type ScheduleStatus = z.infer<typeof ScheduleStatus>;

export function statusTool({ cluster, namespace }: Caller): Tool {
  return defineTool({
    name: 'status',
    title: 'Status of the backups',
    description:
      'All schedules of the namespace, the worst first: health, last success, next run, archives, and what is wrong and what to do about it; and restores that have not ended.',
    effect: 'reads',
    input: z.strictObject({}),
    output: z.object({
      namespace: z.string(),
      time: z.string(),
      health: z.string(),
      schedules: z.array(ScheduleStatus),
      restores: z.array(z.object({ name: z.string(), phase: z.string(), message: z.string().optional() })),
    }),
    run: async () => {
      const { time, health, schedules, restores } = await readOverview(cluster, namespace, {
        runs: 'unsuccessful',
      });
      const data = {
        namespace,
        time,
        health,
        schedules: schedules.map(scheduleStatus),
        restores: restores
          .filter(({ finished }) => !finished)
          .map(({ name, phase, message }) => ({ name, phase, message })),
      };
      return {
        data,
        text: lines(
          `${namespace}: ${counted(schedules.length, 'schedule')}, ${health}.`,
          data.schedules.flatMap(scheduleLines),
          data.restores.map(
            ({ name, phase, message }) =>
              `restore ${name}: ${phase}${message === undefined ? '' : `: ${message}`}`,
          ),
        ),
      };
    },
  });
}

/** Also what the resource of a schedule shows. */
export function scheduleStatus(overview: ScheduleOverview): ScheduleStatus {
  const { name, health, schedule, suspended, source, lastSuccess, nextTime, archives, running } = overview;
  return {
    name,
    health,
    schedule,
    suspended,
    claim: source.claimName,
    lastSuccess: lastSuccess?.time,
    lastArchive: lastSuccess?.archive,
    next: nextTime,
    archives,
    running: running.map((run) => run.name),
    findings: overview.findings.map(({ reason, message, todo, object }) => ({
      reason,
      message,
      todo,
      object: object?.name,
    })),
  };
}

function scheduleLines({
  name,
  health,
  schedule,
  lastSuccess,
  next,
  archives,
  findings,
}: ScheduleStatus): string[] {
  const parts = [
    schedule,
    lastSuccess === undefined ? 'never succeeded' : `last success ${lastSuccess}`,
    ...(next === undefined ? [] : [`next ${next}`]),
    ...(archives ? [`${counted(archives.count, 'archive')}, ${formatBytes(archives.bytes)}`] : []),
  ];
  return [
    `${name}: ${health}; ${parts.join('; ')}`,
    ...findings.map(
      ({ reason, message, todo }) => `  ${reason}: ${message}${todo === undefined ? '' : ` To do: ${todo}`}`,
    ),
  ];
}

const Run = z.object({
  name: z.string().describe('Name of the KmBackup'),
  schedule: z.string(),
  phase: z.string(),
  time: z.string(),
  archive: z.string().optional(),
  sizeBytes: z.int().optional(),
  warnings: z.int().optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
});
type Run = z.infer<typeof Run>;

export function listTool({ cluster, namespace }: Caller): Tool {
  return defineTool({
    name: 'list',
    title: 'List backups',
    description: 'The KmBackups of the namespace, newest first, each with its phase and its archive.',
    effect: 'reads',
    input: z.strictObject({
      schedule: z.string().optional().describe('Only those of this KmBackupSchedule'),
      limit: z.int().min(1).max(1000).default(50).describe('Most backups to list'),
    }),
    output: z.object({ namespace: z.string(), total: z.int(), backups: z.array(Run) }),
    run: async ({ schedule, limit }) => {
      const { schedules } = await readOverview(cluster, namespace, { runs: 'all' });
      const runs = schedules
        .filter(({ name }) => schedule === undefined || name === schedule)
        .flatMap((one) => [...one.runs, ...one.running].map((run) => runData(one.name, run)))
        .sort((a, b) => (a.time < b.time ? 1 : -1));
      const shown = runs.slice(0, limit);
      return {
        data: { namespace, total: runs.length, backups: shown },
        text: lines(
          `${namespace}: ${counted(runs.length, 'backup')}${shown.length < runs.length ? `, the newest ${shown.length} of them` : ''}.`,
          shown.map(runLine),
        ),
      };
    },
  });
}

function runData(
  schedule: string,
  { name, phase, time, archive, warnings, reason, message }: RunOverview,
): Run {
  return {
    name,
    schedule,
    phase,
    time,
    archive: archive?.name,
    sizeBytes: archive?.sizeBytes,
    warnings,
    reason,
    message,
  };
}

function runLine({ name, phase, time, archive, sizeBytes, message }: Run): string {
  const made =
    archive === undefined
      ? ''
      : `, ${archive}${sizeBytes === undefined ? '' : `, ${formatBytes(sizeBytes)}`}`;
  const why = phase === 'Succeeded' || message === undefined ? '' : `: ${message}`;
  return `${name}: ${phase}, ${time}${made}${why}`;
}

export function coverageTool({ cluster, namespace }: Caller): Tool {
  return defineTool({
    name: 'coverage',
    title: 'Coverage of claims',
    description:
      'Which PersistentVolumeClaims of the namespace are backed up, and what is missing: no schedule, stale, suspended, never drilled, no copy.',
    effect: 'reads',
    input: z.strictObject({}),
    output: z.object({
      namespace: z.string(),
      covered: z.int().describe('Claims without a gap'),
      protected: z.int().describe('Claims without a critical gap'),
      claims: z.array(
        z.object({
          name: z.string(),
          schedules: z.array(z.string()),
          lastSuccess: z.string().optional(),
          gaps: z.array(
            z.object({
              severity: z.enum(['critical', 'warning', 'idle', 'ok']),
              reason: z.string(),
              message: z.string(),
              todo: z.string().optional(),
            }),
          ),
        }),
      ),
    }),
    run: async () => {
      const { coverage } = await readOverview(cluster, namespace, { runs: 'unsuccessful', claims: true });
      if (!coverage) {
        const empty = { namespace, covered: 0, protected: 0, claims: [] };
        const text = `Forbidden: you may not list the PersistentVolumeClaims of ${namespace}, so nothing is known about them.`;
        return { data: empty, text: lines(text), failed: true };
      }
      const { claims } = coverage;
      return {
        data: {
          namespace,
          covered: coverage.covered,
          protected: coverage.protected,
          claims: claims.map(({ name, schedules, lastSuccess, gaps }) => ({
            name,
            schedules: [...schedules],
            lastSuccess,
            gaps: gaps.map(({ severity, reason, message, todo }) => ({ severity, reason, message, todo })),
          })),
        },
        text: lines(
          `${namespace}: ${coverage.protected} of ${counted(claims.length, 'claim')} protected.`,
          claims.flatMap(claimLines),
        ),
      };
    },
  });
}

function claimLines({ name, schedules, gaps }: ClaimOverview): string[] {
  return [
    `${name}: ${schedules.length === 0 ? 'no schedule' : `backed up by ${schedules.join(', ')}`}`,
    ...gaps.map(
      ({ severity, message, todo }) =>
        `  ${severity}: ${message}${todo === undefined ? '' : ` To do: ${todo}`}`,
    ),
  ];
}
