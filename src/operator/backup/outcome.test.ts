import { describe, expect, it } from 'vitest';
import { at, job, pod, runResult, scheduledBackup } from '../testing/fixtures.ts';
import type { Job, Pod } from '../workloads.ts';
import { lacksReport, outcomeOf } from './outcome.ts';

const backup = scheduledBackup(at('01:00:00'));
const ended = (exitCode: number, message?: string, reason = 'Error') => ({
  terminated: { exitCode, reason, ...(message !== undefined && { message }) },
});
const complete = job(backup, { type: 'Complete' });
const failedJob = (reason: string) => job(backup, { type: 'Failed', reason, message: 'job message' });

describe('the pod that ended a Job', () => {
  const running = pod({ running: {} });
  it.each<[name: string, job: Job, pods: Pod[], lacks: boolean]>([
    ['is not asked for while the Job goes on', job(backup), [], false],
    ['is there: it exited with 0', complete, [pod(ended(1)), pod(ended(0))], false],
    ['is not the one that failed before', complete, [pod(ended(1))], true],
    ['is not one seen running', complete, [running], true],
    ['is not there', complete, [], true],
    ['is there: it failed', failedJob('BackoffLimitExceeded'), [pod(ended(1))], false],
    ['is not one seen running when the Job failed', failedJob('BackoffLimitExceeded'), [running], true],
  ])('%s', (_, job, pods, lacks) => {
    expect(lacksReport(job, pods)).toBe(lacks);
  });
});

describe('what a Job and its pods say about a run', () => {
  const cases: [name: string, job: Job, pods: Pod[], expected: Record<string, unknown>][] = [
    [
      'a verified archive',
      complete,
      [pod(ended(0, JSON.stringify(runResult())))],
      { phase: 'Succeeded', reason: 'ArchiveVerified' },
    ],
    [
      'a result after log lines',
      complete,
      [pod(ended(0, `noise\n${JSON.stringify(runResult())}\n`))],
      { phase: 'Succeeded' },
    ],
    [
      'a Job that succeeded without a word',
      complete,
      [pod(ended(0))],
      { phase: 'Failed', reason: 'NoArchiveReported' },
    ],
    [
      'a Job that succeeded without an archive',
      complete,
      [pod(ended(0, JSON.stringify(runResult({ archive: undefined }))))],
      { phase: 'Failed', reason: 'NoArchiveReported' },
    ],
    [
      'a Job that succeeded whose pod is gone',
      complete,
      [],
      { phase: 'Failed', reason: 'NoArchiveReported' },
    ],
    [
      'an incomplete archive',
      failedJob('PodFailurePolicy'),
      [pod(ended(3, JSON.stringify(runResult({ outcome: 'Incomplete', reason: 'FilesNotCaptured' }))))],
      { phase: 'Incomplete', reason: 'FilesNotCaptured' },
    ],
    [
      'a locked destination',
      failedJob('PodFailurePolicy'),
      [pod(ended(4, JSON.stringify(runResult({ outcome: 'Skipped', reason: 'Locked' }))))],
      { phase: 'Skipped', reason: 'Locked' },
    ],
    [
      'a program started twice: one pod made the archive, the other found its lock',
      failedJob('PodFailurePolicy'),
      [
        pod(ended(0, JSON.stringify(runResult()))),
        pod(
          ended(4, JSON.stringify(runResult({ outcome: 'Skipped', reason: 'Locked', archive: undefined }))),
        ),
      ],
      { phase: 'Succeeded', reason: 'ArchiveVerified' },
    ],
    [
      'the same, told in the other order',
      failedJob('PodFailurePolicy'),
      [
        pod(
          ended(4, JSON.stringify(runResult({ outcome: 'Skipped', reason: 'Locked', archive: undefined }))),
        ),
        pod(ended(0, JSON.stringify(runResult()))),
      ],
      { phase: 'Succeeded', reason: 'ArchiveVerified' },
    ],
    [
      'an archive made just before the deadline',
      failedJob('DeadlineExceeded'),
      [pod(ended(0, JSON.stringify(runResult())))],
      { phase: 'Succeeded', reason: 'ArchiveVerified' },
    ],
    [
      'a program that failed with a result',
      failedJob('BackoffLimitExceeded'),
      [pod(ended(1, JSON.stringify(runResult({ outcome: 'Failed', reason: 'NoSpace' }))))],
      { phase: 'Failed', reason: 'NoSpace' },
    ],
    [
      'a failed Job whose pod claims success',
      failedJob('BackoffLimitExceeded'),
      [pod(ended(1, JSON.stringify(runResult())))],
      { phase: 'Failed', reason: 'ProgramFailed' },
    ],
    [
      'out of memory',
      failedJob('BackoffLimitExceeded'),
      [pod(ended(137, undefined, 'OOMKilled'))],
      { phase: 'Failed', reason: 'OutOfMemory' },
    ],
    [
      'an evicted pod',
      failedJob('BackoffLimitExceeded'),
      [pod({}, { reason: 'Evicted', message: 'node was low on disk' })],
      { phase: 'Failed', reason: 'Evicted' },
    ],
    ['a deadline', failedJob('DeadlineExceeded'), [], { phase: 'Failed', reason: 'DeadlineExceeded' }],
    [
      'a failed Job without pods',
      failedJob('BackoffLimitExceeded'),
      [],
      { phase: 'Failed', reason: 'BackoffLimitExceeded', message: 'job message' },
    ],
    [
      'a running container',
      job(backup),
      [pod({ running: { startedAt: '2026-03-01T01:00:02Z' } })],
      { state: 'running', pod: 'notes-pod' },
    ],
    [
      'a container that reports an archive before the Job ends',
      job(backup),
      [pod(ended(0, JSON.stringify(runResult())))],
      { phase: 'Succeeded', reason: 'ArchiveVerified' },
    ],
    [
      'a container that failed before the Job says so',
      job(backup),
      [pod(ended(1))],
      { state: 'ended', podEnded: false, verdict: { phase: 'Failed', reason: 'ProgramFailed' } },
    ],
    [
      'an image that cannot be pulled',
      job(backup),
      [pod({ waiting: { reason: 'ImagePullBackOff', message: 'no such image' } })],
      { state: 'waiting', reason: 'ImagePullBackOff', message: 'no such image' },
    ],
    [
      'a pod that cannot be scheduled',
      job(backup),
      [
        pod(
          {},
          {
            containerStatuses: [],
            conditions: [
              { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/3 nodes' },
            ],
          },
        ),
      ],
      { state: 'waiting', reason: 'Unschedulable', message: '0/3 nodes' },
    ],
    ['no pod yet', job(backup), [], { state: 'waiting', reason: 'WaitingForPod' }],
  ];
  it.each(cases)('%s', (_name, observed, pods, expected) => {
    expect(outcomeOf(observed, pods)).toMatchObject(expected);
  });
});
