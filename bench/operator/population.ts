import { randomUUID } from 'node:crypto';
import type { KmBackup } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { API_VERSION, FIELD_MANAGER, LABELS } from '../../src/api/names.ts';
import { decideSchedule } from '../../src/operator/backupschedule/decide.ts';
import { cleanResult } from '../../test/support/stub-kubelet.ts';
import { type ControlPlane, eachOf } from './control-plane.ts';

const CONCURRENCY = 32;
/** A date that never comes while a bench runs, for schedules that only exist. */
export const ASLEEP = '0 0 1 1 *';

export interface Wanted {
  namespace: string;
  name: string;
  cron: string;
}

/** Schedules, 100 to a namespace; the namespaces are named `bench-0` and so on by default. */
export function schedules(count: number, prefix: string, cron: string, namespaces = 'bench'): Wanted[] {
  return Array.from({ length: count }, (_, index) => ({
    namespace: `${namespaces}-${Math.floor(index / 100)}`,
    name: `${prefix}-${index}`,
    cron,
  }));
}

/** Creates the namespaces, and the claim that each schedule backs up. */
export async function makeNamespaces(plane: ControlPlane, wanted: readonly Wanted[]): Promise<void> {
  const { client, all } = plane;
  const names = new Set(wanted.map(({ namespace }) => namespace));
  const ignoreExists = (error: { status?: number }) => {
    if (error.status !== 409) throw error;
  };
  await eachOf(names, CONCURRENCY, async (name) => {
    await client
      .request({ method: 'POST', path: '/api/v1/namespaces', body: { metadata: { name } } })
      .catch(ignoreExists);
  });
  await eachOf(wanted, CONCURRENCY, ({ namespace, name }) =>
    all.claims
      .create(namespace, {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
      })
      .catch(ignoreExists),
  );
  // Pods are refused until the controllers have made each namespace's default service account.
  await eachOf(names, CONCURRENCY, async (name) => {
    for (;;) {
      const found = await client
        .request({ method: 'GET', path: `/api/v1/namespaces/${name}/serviceaccounts/default` })
        .catch((error: { status?: number }) => {
          if (error.status !== 404) throw error;
        });
      if (found) return;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  });
}

/** Finished Jobs that are kept, of schedules and of CronJobs. */
const HISTORY = 1;

const scheduleOf = ({ name, cron }: Wanted) => ({
  apiVersion: API_VERSION,
  kind: 'KmBackupSchedule',
  metadata: { name },
  spec: {
    cron,
    source: { persistentVolumeClaim: { claimName: name } },
    successfulJobsHistoryLimit: HISTORY,
    failedJobsHistoryLimit: HISTORY,
  },
});

export async function makeSchedules(plane: ControlPlane, wanted: readonly Wanted[]): Promise<void> {
  await makeNamespaces(plane, wanted);
  await eachOf(wanted, CONCURRENCY, (one) => plane.all.schedules.create(one.namespace, scheduleOf(one)));
}

/** Schedules as they are once the operator has looked at them: the API server's defaults, and the status. */
export async function settledSchedules(
  plane: ControlPlane,
  wanted: readonly Wanted[],
): Promise<KmBackupSchedule[]> {
  const namespace = 'default';
  const one = { namespace, name: 'pattern', cron: ASLEEP };
  const pattern = await plane.all.schedules.create(namespace, scheduleOf(one));
  await plane.all.schedules.delete(namespace, one.name);
  const { creationTimestamp } = pattern.metadata;
  return wanted.map(({ namespace, name, cron }) => {
    const schedule: KmBackupSchedule = {
      ...pattern,
      metadata: { name, namespace, uid: randomUUID(), resourceVersion: '', creationTimestamp, generation: 1 },
      spec: { ...pattern.spec, cron, source: { persistentVolumeClaim: { claimName: name } } },
    };
    return withStatus(schedule, []);
  });
}

/** The status that the operator would write. */
export function withStatus(schedule: KmBackupSchedule, backups: readonly KmBackup[]): KmBackupSchedule {
  const { steps } = decideSchedule(
    { schedule, backups, jobs: [], drills: [], allowScripts: false },
    Date.now(),
  );
  const write = steps.find((step) => step.kind === 'writeScheduleStatus');
  return write ? { ...schedule, status: write.status } : schedule;
}

/** CronJobs equivalent to the schedules: Forbid, one container, one claim. */
export async function makeCronJobs(plane: ControlPlane, wanted: readonly Wanted[]): Promise<void> {
  await makeNamespaces(plane, wanted);
  await eachOf(wanted, CONCURRENCY, ({ namespace, name, cron }) =>
    plane.cronJobs.create(namespace, {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name },
      spec: {
        schedule: cron,
        timeZone: 'Etc/UTC',
        concurrencyPolicy: 'Forbid',
        successfulJobsHistoryLimit: HISTORY,
        failedJobsHistoryLimit: HISTORY,
        jobTemplate: {
          metadata: { labels: { [LABELS.managedBy]: FIELD_MANAGER } },
          spec: {
            backoffLimit: 2,
            template: {
              metadata: { labels: { [LABELS.managedBy]: FIELD_MANAGER } },
              spec: {
                restartPolicy: 'Never',
                automountServiceAccountToken: false,
                containers: [
                  {
                    name: 'km-backup',
                    image: 'km-backup:bench',
                    volumeMounts: [{ name: 'source', mountPath: '/source' }],
                  },
                ],
                volumes: [{ name: 'source', persistentVolumeClaim: { claimName: name } }],
              },
            },
          },
        },
      },
    }),
  );
}

/** Finished runs of schedules, each with an archive that still exists. */
export function* finishedRuns(owners: readonly KmBackupSchedule[], each: number): Generator<KmBackup> {
  for (const { metadata } of owners) {
    const names = Array.from({ length: each }, (_, index) => `km-backup-2026010${index}T000000Z.tgz`);
    for (let index = 0; index < each; index += 1) {
      const at = new Date(Date.now() - (each - index) * 86_400_000).toISOString().replace(/\.\d+/, '');
      const { warnings, archive } = cleanResult(names[index]!);
      const condition = (type: string, status: 'True' | 'False') => ({
        type,
        status,
        reason: 'ArchiveVerified',
        message: `${names[index]} was written and verified.`,
        lastTransitionTime: at,
        observedGeneration: 1,
      });
      yield {
        apiVersion: API_VERSION,
        kind: 'KmBackup',
        metadata: {
          name: `${metadata.name}-${index}`,
          namespace: metadata.namespace,
          uid: randomUUID(),
          resourceVersion: '',
          creationTimestamp: at,
          generation: 1,
          labels: { [LABELS.managedBy]: FIELD_MANAGER, [LABELS.scheduleUid]: metadata.uid },
        },
        spec: { scheduleName: metadata.name, scheduledTime: at },
        status: {
          phase: 'Succeeded',
          reason: 'ArchiveVerified',
          message: `${names[index]} was written and verified.`,
          conditions: [condition('Progressing', 'False'), condition('Succeeded', 'True')],
          job: { name: `${metadata.name}-${index}`, uid: randomUUID() },
          destination: { claimName: metadata.name, path: 'km-backups' },
          startTime: at,
          completionTime: at,
          durationSeconds: 1,
          archive: { ...archive!, claimName: metadata.name, path: 'km-backups' },
          warnings,
          pruned: { count: 0, failed: 0, names: [] },
          present: { count: index + 1, bytes: index + 1, names: names.slice(0, index + 1).reverse() },
        },
      } satisfies KmBackup;
    }
  }
}
