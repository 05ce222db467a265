import { randomUUID } from 'node:crypto';
import type { KmBackup } from '../../src/api/backup.ts';
import type { KmBackupSchedule } from '../../src/api/backup-schedule.ts';
import { API_VERSION, FIELD_MANAGER, LABELS } from '../../src/api/names.ts';
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

/** So many schedules, spread over namespaces of 100 each. */
export function schedules(count: number, prefix: string, cron: string): Wanted[] {
  return Array.from({ length: count }, (_, index) => ({
    namespace: `bench-${Math.floor(index / 100)}`,
    name: `${prefix}-${index}`,
    cron,
  }));
}

/** Makes the namespaces, and the claim that each of the wanted backs up. */
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

export async function makeSchedules(plane: ControlPlane, wanted: readonly Wanted[]): Promise<void> {
  await makeNamespaces(plane, wanted);
  await eachOf(wanted, CONCURRENCY, ({ namespace, name, cron }) =>
    plane.all.schedules.create(namespace, {
      apiVersion: API_VERSION,
      kind: 'KmBackupSchedule',
      metadata: { name },
      spec: { cron, source: { persistentVolumeClaim: { claimName: name } } },
    }),
  );
}

/** CronJobs that ask for the same as the schedules do: Forbid, one container, one claim. */
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

/** Finished runs of schedules, each with an archive that is still there. */
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
