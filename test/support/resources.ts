import type { Kubectl, KubeObject } from './kubectl.ts';

const API_VERSION = 'km.duskmantle.io/v1alpha1';

export function schedule(name: string, spec: object): object {
  return { apiVersion: API_VERSION, kind: 'KmBackupSchedule', metadata: { name }, spec };
}

const FINISHED = ['Succeeded', 'Incomplete', 'Failed', 'Skipped'];
export const isFinished = (backup: KubeObject): boolean => FINISHED.includes(backup.status?.phase);

/** Starts a run of a schedule, as a person does, and resolves with the finished KmBackup. */
export async function runNow(kubectl: Kubectl, scheduleName: string): Promise<KubeObject> {
  const { metadata } = await kubectl.create({
    apiVersion: API_VERSION,
    kind: 'KmBackup',
    metadata: { generateName: `${scheduleName}-now-` },
    spec: { scheduleName },
  });
  return kubectl.until('kmbackup', metadata.name, isFinished, 180_000);
}

export const kmRestore = (name: string, spec: object): KubeObject => ({
  apiVersion: 'km.duskmantle.io/v1alpha1',
  kind: 'KmRestore',
  metadata: { name },
  spec,
});

/** Applies a restore and waits for its end. */
export async function restored(kubectl: Kubectl, restore: KubeObject): Promise<KubeObject> {
  await kubectl.apply([restore]);
  const ended = ['Planned', 'Succeeded', 'RolledBack', 'Failed'];
  return await kubectl.until('kmrestore', restore.metadata.name, ({ status }) =>
    ended.includes(status?.phase),
  );
}
