/** The steps and checks of a restore, on the engine of all steps. Pure. */
import type { KmRestore } from '../../api/restore.ts';
import type { Step as Action } from '../../api/step.ts';
import type { Step } from '../plan.ts';
import { advanceSteps, type StepAnswer, workloadKey } from '../steps/advance.ts';
import { buildStepJob, type RestoreJobSettings, stepJobKey } from './jobs.ts';
import type { ObservedRestore } from './observed.ts';
import type { Rung } from './rung.ts';
import { fail, type Said, wait, writeStatus } from './status.ts';

function answerOf(observed: ObservedRestore, restore: KmRestore): (step: Action) => StepAnswer {
  return (step) => {
    if (step.http) {
      const { probe } = observed;
      if (probe?.step !== step.name) return { state: 'pending', message: 'It was not asked yet.' };
      // Asked again until the answer is right: a service that starts refuses at first.
      return { state: probe.ok ? 'done' : 'pending', message: probe.message };
    }
    if (step.scale) {
      const now = observed.workloads.get(workloadKey(step.scale));
      if (now?.state !== 'exists') {
        return { state: 'failed', message: `There is no ${step.scale.kind} ${step.scale.name}.` };
      }
      const { stopped } = restore.status ?? {};
      if (!stopped?.some((one) => workloadKey(one) === workloadKey(step.scale!))) {
        return {
          state: 'failed',
          message: `${step.scale.kind} ${step.scale.name} is not among the workloads of spec.quiesce, so it would not be put back. Name it in spec.quiesce.workloads.`,
        };
      }
      return now.replicas === step.scale.replicas
        ? {
            state: 'done',
            message: `${step.scale.kind} ${step.scale.name} has ${step.scale.replicas} replicas.`,
          }
        : {
            state: 'pending',
            message: `${step.scale.kind} ${step.scale.name} has ${now.replicas} replicas.`,
          };
    }
    const job = observed.jobs.get(stepJobKey(restore, step)) ?? { state: 'none' };
    switch (job.state) {
      case 'none':
        return { state: 'pending', message: 'Its Job was not made yet.' };
      case 'active':
        return { state: 'pending', message: job.message };
      case 'succeeded':
        return { state: 'done', message: 'The script succeeded.' };
      case 'failed':
        return { state: 'failed', message: job.message };
    }
  };
}

/** The write that carries out a step. An `http` step is asked when the restore is observed. */
function carryOut(
  { restore, jobs, workloads }: ObservedRestore,
  step: Action,
  settings: RestoreJobSettings,
): Step[] {
  if (step.scale) {
    const { kind, name, replicas } = step.scale;
    const now = workloads.get(workloadKey(step.scale));
    const uid = restore.status?.stopped?.find((one) => workloadKey(one) === workloadKey(step.scale!))?.uid;
    if (now?.state !== 'exists' || now.replicas === replicas || uid === undefined) return [];
    return [
      {
        kind: 'scale',
        target: {
          namespace: restore.metadata.namespace,
          kind,
          name,
          uid,
          resourceVersion: now.resourceVersion,
        },
        replicas,
      },
    ];
  }
  if (step.job && (jobs.get(stepJobKey(restore, step)) ?? { state: 'none' }).state === 'none') {
    return [{ kind: 'createJob', owner: restore, job: buildStepJob(restore, step, settings) }];
  }
  return [];
}

export function runSteps(list: (restore: KmRestore) => readonly Action[] | undefined, said: Said): Rung {
  return (observed, settings, nowMs) => {
    const { restore } = observed;
    const steps = list(restore);
    if (!steps || steps.length === 0) return undefined;
    const script = steps.find(({ job }) => job !== undefined);
    if (script && !settings.allowScripts) {
      return fail(
        restore,
        nowMs,
        'ScriptsNotAllowed',
        `Step ${script.name} runs a script, but this operator does not run scripts. Install it with jobs.allowScripts=true, or use an http step.`,
      );
    }
    const foreign = steps.find(
      ({ job }) => job?.image !== undefined && !settings.stepImages.includes(job.image),
    );
    if (foreign) {
      return fail(
        restore,
        nowMs,
        'ScriptsNotAllowed',
        `Step ${foreign.name} names image ${foreign.job?.image}, which this operator does not allow. Install it with that image in restore.stepImages, or leave the image out.`,
      );
    }
    const before = restore.status?.steps ?? [];
    const progress = advanceSteps(steps, before, answerOf(observed, restore), nowMs);
    const statuses = [...progress.statuses];
    switch (progress.state) {
      case 'done':
        return statuses.length === before.length && statuses.every((one, index) => one === before[index])
          ? undefined
          : wait(restore, nowMs, said, { steps: statuses });
      case 'begin':
        return wait(
          restore,
          nowMs,
          { ...said, message: `Step ${progress.step.name}.` },
          { steps: statuses },
          nowMs,
        );
      case 'running':
        return {
          steps: [
            ...carryOut(observed, progress.step, settings),
            writeStatus(
              restore,
              nowMs,
              { ...said, message: `Step ${progress.step.name}: ${progress.message}` },
              { steps: statuses },
            ),
          ],
          requeueAtMs: Math.min(nowMs + 2_000, progress.deadlineMs),
        };
      case 'failed':
        return fail(restore, nowMs, 'StepFailed', progress.message, { steps: statuses });
    }
  };
}
