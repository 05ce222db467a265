/** Explains why a schedule, a run or a restore is as it is. Pure: everything comes from what was observed. */

import type { KmBackup } from '../api/backup.ts';
import { isFinished, isRestoreFinished } from '../api/finished.ts';
import { RESTORE_REASONS, RUN_REASONS } from '../api/reasons.ts';
import type { KmRestore } from '../api/restore.ts';
import { outcomeOf } from '../operator/backup/outcome.ts';
import { adviceOf } from '../overview/index.ts';
import { type Cause, kubernetesCause } from './kubernetes-causes.ts';
import { type KubeEvent, lastSeen, type Observed, type ObservedJob, type ObservedRun } from './observe.ts';
import { operatorTrouble } from './operator-state.ts';

export interface Explanation {
  readonly kind: 'KmBackupSchedule' | 'KmBackup' | 'KmRestore';
  readonly namespace: string;
  readonly name: string;
  readonly verdict: 'problem' | 'waiting' | 'running' | 'fine';
  /** One line that names the cause. */
  readonly cause: string;
  /** As in docs/troubleshooting.md, or from Kubernetes. */
  readonly reason?: string | undefined;
  readonly todo: readonly string[];
  /** What it follows from, in the order in which it matters. */
  readonly facts: readonly { readonly label: string; readonly text: string }[];
  /** Last lines of the pod. */
  readonly log: readonly string[];
}

export type Finding = Pick<Explanation, 'verdict' | 'cause' | 'reason' | 'todo'>;

/** A run that nobody looked at for this long is not about to start. */
const UNNOTICED_MS = 30_000;

export function why(observed: Observed): Explanation {
  const { subject } = observed;
  const { namespace, name } = subject.object.metadata;
  return {
    kind: subject.kind,
    namespace,
    name,
    ...findingOf(observed),
    facts: factsOf(observed),
    log: (observed.run ?? observed.job)?.log ?? [],
  };
}

function findingOf(observed: Observed): Finding {
  const { subject } = observed;
  switch (subject.kind) {
    case 'KmBackup':
      return ofRun(observed.run!, observed);
    case 'KmRestore':
      return ofRestore(subject.object, observed);
    case 'KmBackupSchedule':
      return ofSchedule(observed);
  }
}

function ofSchedule(observed: Observed): Finding {
  const { subject, run, overview } = observed;
  const { name, namespace } = subject.object.metadata;
  const down = downFor(observed);
  if (down) return down;
  const [worst] = overview?.findings ?? [];
  if (worst?.health === 'Suspended') {
    return {
      verdict: 'problem',
      reason: worst.reason,
      cause: `${name} is suspended: it starts no scheduled runs.`,
      todo: [`To resume: kubectl km resume ${name} -n ${namespace}.`],
    };
  }
  if (run && !isFinished(run.backup)) return ofRun(run, observed);
  if (run && worst?.object?.name === run.backup.metadata.name) return ofRun(run, observed);
  if (worst && worst.health !== 'Pending') {
    const { reason, message, object, todo } = worst;
    const whose = object ? `${name}, ${object.kind} ${object.name}` : name;
    return {
      verdict: 'problem',
      reason,
      cause: `${whose}: ${message}`,
      todo: todo === undefined ? [] : [todo],
    };
  }
  const next = overview?.nextTime ? ` The next run is due at ${overview.nextTime}.` : '';
  const last = overview?.lastSuccess?.time;
  return {
    verdict: 'fine',
    cause: last
      ? `${name} is healthy: its last complete archive is of ${last}.${next}`
      : `${name} has made no archive yet.${next}`,
    todo: [],
  };
}

function ofRun(run: ObservedRun, observed: Observed): Finding {
  const { backup } = run;
  const { name } = backup.metadata;
  const { phase, reason = '', message = '' } = backup.status ?? {};
  if (isFinished(backup)) {
    if (phase === 'Succeeded' || phase === 'Found')
      return { verdict: 'fine', cause: `${name} succeeded: ${message}`, reason, todo: [] };
    return problem(
      reason,
      `${name} ${ENDED[phase ?? 'Failed']}: ${message}`,
      kubernetesCause(reason, message),
    );
  }
  const down = downFor(observed);
  if (down) return down;
  if (phase === undefined) return unnoticed(`KmBackup ${name}`, backup.metadata.creationTimestamp, observed);
  const live = liveState(run);
  if (live) return { ...live, cause: `${name} ${live.cause}` };
  return waiting(reason, `${name} waits: ${message}`, message);
}

const ENDED: Readonly<Record<string, string>> = {
  Failed: 'failed',
  Incomplete: 'is incomplete',
  Skipped: 'was skipped',
};

/** What the pods say now, which the status may not say yet. */
export function liveState({ job, pods, events }: ObservedJob): Finding | undefined {
  if (!job) return undefined;
  const outcome = outcomeOf(job, pods);
  switch (outcome.state) {
    case 'running': {
      const pod = pods.find(({ metadata }) => metadata.name === outcome.pod);
      const node = pod?.spec.nodeName === undefined ? '' : ` on node ${pod.spec.nodeName}`;
      return { verdict: 'running', cause: `is running in pod ${outcome.pod}${node}.`, todo: [] };
    }
    case 'waiting': {
      const warning = events.find(({ type }) => type === 'Warning');
      const said =
        outcome.unexplained && warning
          ? { reason: warning.reason ?? '', message: warning.note ?? '' }
          : { reason: outcome.reason as string, message: outcome.message };
      const found = waiting(said.reason, `cannot start: ${said.message}`, said.message);
      return outcome.unexplained && !warning ? { ...found, cause: `is starting: ${said.message}` } : found;
    }
    case 'ended':
      return problem(outcome.verdict.reason, `ended a try: ${outcome.verdict.message}`);
    case 'finished':
      return outcome.phase === 'Succeeded'
        ? { verdict: 'running', cause: 'has just ended; its record is being written.', todo: [] }
        : problem(outcome.reason, `ended: ${outcome.message}`);
  }
}

function ofRestore(restore: KmRestore, observed: Observed): Finding {
  const { name, namespace, creationTimestamp } = restore.metadata;
  const { phase, reason = '', message = '' } = restore.status ?? {};
  if (isRestoreFinished(restore)) {
    if (phase === 'Planned')
      return { verdict: 'fine', cause: `${name} is a plan: ${message}`, reason, todo: [] };
    if (phase === 'Succeeded')
      return { verdict: 'fine', cause: `${name} succeeded: ${message}`, reason, todo: [] };
    const ended = phase === 'RolledBack' ? 'was rolled back' : 'failed';
    return problem(reason, `${name} ${ended}: ${message}`, kubernetesCause(reason, message));
  }
  const down = downFor(observed);
  if (down) return down;
  if (phase === undefined) return unnoticed(`KmRestore ${name}`, creationTimestamp, observed);
  const live = observed.job && liveState(observed.job);
  if (live && live.verdict !== 'running') return { ...live, cause: `${name} ${live.cause}` };
  const state = RESTORE_REASONS[reason as keyof typeof RESTORE_REASONS]?.state;
  const cause = `${name} (${namespace}) is ${phase}: ${message}`;
  return state === 'waiting'
    ? waiting(reason, cause, message)
    : { verdict: 'running', cause, reason, todo: [] };
}

/** Nobody served the object: either nobody runs, or it is too new. */
function unnoticed(what: string, created: string, { nowMs }: Observed): Finding {
  if (nowMs - Date.parse(created) < UNNOTICED_MS)
    return { verdict: 'waiting', cause: `${what} is new; the operator has not looked at it yet.`, todo: [] };
  return {
    verdict: 'problem',
    reason: 'NotObserved',
    cause: `No operator has looked at ${what}, which was created at ${created}.`,
    todo: ['Check that the operator runs and serves this namespace: kubectl km doctor.'],
  };
}

function downFor({ operator, subject, nowMs }: Observed): Finding | undefined {
  const trouble = operatorTrouble(operator, subject.object.metadata.namespace, nowMs);
  return (
    trouble && { verdict: 'problem', reason: 'OperatorDown', cause: trouble.cause, todo: [trouble.todo] }
  );
}

function problem(reason: string, cause: string, known = kubernetesCause(reason, cause)): Finding {
  return { verdict: 'problem', reason, cause: named(cause, known, reason), todo: todoOf(reason, known) };
}

function waiting(reason: string, cause: string, message: string): Finding {
  const known = kubernetesCause(reason, message);
  return {
    verdict: known ? 'problem' : 'waiting',
    reason,
    cause: named(cause, known, reason),
    todo: todoOf(reason, known),
  };
}

/** Puts the cause before what was said, where what was said needs a translation. */
function named(said: string, known: Cause | undefined, reason: string): string {
  if (!known || Object.hasOwn(RUN_REASONS, reason)) return said;
  const [subject, ...rest] = said.split(': ');
  return `${subject}: ${known.what}. ${rest.join(': ')}`;
}

function todoOf(reason: string, known: Cause | undefined): string[] {
  return [known?.todo, adviceOf(reason)].filter((text) => text !== undefined);
}

function factsOf(observed: Observed): Explanation['facts'] {
  const { subject, run, job, events, nowMs } = observed;
  const facts: { label: string; text: string }[] = [];
  const add = (label: string, text: string | undefined) => {
    if (text !== undefined && text !== '') facts.push({ label, text });
  };
  for (const { type, status, reason, message } of subject.object.status?.conditions ?? [])
    if (type) add(`${type}=${status ?? 'Unknown'}`, [reason, message].filter(Boolean).join(': '));
  if (run && subject.kind === 'KmBackupSchedule') add('Newest run', runText(run.backup));
  for (const sample of run?.backup.status?.warnings?.samples ?? []) add('File', sample);
  const worked = run ?? job;
  if (worked?.job) add('Job', worked.job.metadata.name);
  for (const pod of worked?.pods ?? []) {
    const node = pod.spec.nodeName ? ` on ${pod.spec.nodeName}` : '';
    add('Pod', `${pod.metadata.name}${node}: ${pod.status?.phase ?? 'unknown'}`);
  }
  const all = new Map([...events, ...(worked?.events ?? [])].map((event) => [event.metadata.name, event]));
  for (const event of [...all.values()].sort((a, b) => lastSeen(b).localeCompare(lastSeen(a))).slice(0, 8))
    add(event.type === 'Warning' ? 'Warning' : 'Event', eventText(event, nowMs));
  return facts;
}

const runText = ({ metadata, status }: KmBackup): string =>
  `${metadata.name}: ${status?.phase ?? 'new'}${status?.reason ? ` (${status.reason})` : ''}`;

function eventText(event: KubeEvent, nowMs: number): string {
  const minutes = Math.max(0, Math.round((nowMs - Date.parse(lastSeen(event))) / 60_000));
  return `${minutes} min ago, ${event.reason ?? ''}: ${event.note ?? ''}`;
}
