/** Tools about one run: backup, which starts one, and why, which explains one. */
import { z } from 'zod';
import type { KmBackup } from '../../api/backup.ts';
import { observe } from '../../fleet/observe.ts';
import { awaitBackup, runBackup } from '../../fleet/run-backup.ts';
import { why } from '../../fleet/why.ts';
import { lines } from '../text.ts';
import { defineTool, type Tool } from '../tool.ts';
import { type Caller, placeOf } from './caller.ts';

const Result = z.object({
  name: z.string().describe('Name of the KmBackup'),
  phase: z.string(),
  reason: z.string().optional(),
  message: z.string().optional(),
  archive: z
    .object({
      name: z.string(),
      claim: z.string(),
      path: z.string(),
      sizeBytes: z.int().optional(),
      sha256: z.string().optional(),
    })
    .optional(),
  warnings: z.int().optional(),
});

export function backupTool(caller: Caller): Tool {
  const { cluster, namespace } = caller;
  return defineTool({
    name: 'backup',
    title: 'Run a backup now',
    description:
      'Creates a KmBackup of a schedule and waits until it has ended. Answers "Backup written to PATH". A call that is cancelled stops waiting; the run goes on.',
    effect: 'adds',
    input: z.strictObject({
      schedule: z.string().describe('Name of a KmBackupSchedule'),
      wait: z.boolean().default(true).describe('Wait for the end of the run'),
    }),
    output: Result,
    run: async ({ schedule, wait }, { signal, progress }) => {
      const created = await runBackup(cluster, placeOf(caller, schedule));
      if (!wait) {
        const text = `KmBackup ${created.metadata.name} in namespace ${namespace} was created.`;
        return { data: resultOf(created), text: lines(text) };
      }
      let done = 0;
      const ended = await awaitBackup(cluster, created.metadata, {
        signal,
        onChange: (run) => progress({ done: ++done, message: phaseOf(run) }),
      });
      const data = resultOf(ended);
      return { data, text: wordsOf(data), failed: data.archive === undefined };
    },
  });
}

function phaseOf({ metadata, status }: KmBackup): string {
  const waiting = status?.awaiting ? `, waits for ${status.awaiting.event}` : '';
  return `${metadata.name}: ${status?.phase ?? 'Pending'}${waiting}`;
}

function resultOf({ metadata, status }: KmBackup): z.infer<typeof Result> {
  const { phase = 'Pending', reason, message, archive, warnings } = status ?? {};
  return {
    name: metadata.name,
    phase,
    reason,
    message,
    archive: archive && {
      name: archive.name,
      claim: archive.claimName,
      path: archive.path === '' ? archive.name : `${archive.path}/${archive.name}`,
      sizeBytes: archive.sizeBytes,
      sha256: archive.sha256,
    },
    warnings: warnings?.count,
  };
}

/** The last line is that of the playbook's script; the path is that on the claim. */
function wordsOf({ name, phase, reason, message, archive }: z.infer<typeof Result>): string {
  return lines(
    phase === 'Succeeded'
      ? undefined
      : `${name}: ${phase}${reason === undefined ? '' : ` (${reason})`}: ${message ?? ''}`,
    archive && `Backup written to ${archive.path} on claim ${archive.claim}`,
  );
}

export function whyTool(caller: Caller): Tool {
  return defineTool({
    name: 'why',
    title: 'Explain a schedule, run or restore',
    description:
      'Why a KmBackupSchedule, KmBackup or KmRestore is as it is: the cause in one line, what to do, and what that follows from (conditions, Events, pod, log).',
    effect: 'reads',
    input: z.strictObject({ name: z.string().describe('Name of the object') }),
    output: z.object({
      kind: z.string(),
      name: z.string(),
      verdict: z.enum(['problem', 'waiting', 'running', 'fine']),
      cause: z.string(),
      reason: z.string().optional(),
      todo: z.array(z.string()),
      facts: z.array(z.object({ label: z.string(), text: z.string() })),
      log: z.array(z.string()),
    }),
    run: async ({ name }) => {
      const { kind, verdict, cause, reason, todo, facts, log } = why(
        await observe(caller.cluster, placeOf(caller, name)),
      );
      return {
        data: {
          kind,
          name,
          verdict,
          cause,
          reason,
          todo: [...todo],
          facts: facts.map(({ label, text }) => ({ label, text })),
          log: [...log],
        },
        text: lines(
          `${kind} ${name}: ${verdict}: ${cause}`,
          todo.map((step) => `To do: ${step}`),
          facts.map(({ label, text }) => `${label}: ${text}`),
          log.map((line) => `log: ${line}`),
        ),
      };
    },
  });
}
