import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { GROUP, VERSION } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import { type ResourceClient, resource } from '../kube/resources.ts';
import type { WarningEvent } from './backup/events.ts';
import type { Job, PersistentVolumeClaim, Pod } from './workloads.ts';

/** Every kind the operator reads or writes. */
export interface Resources {
  schedules: ResourceClient<KmBackupSchedule>;
  backups: ResourceClient<KmBackup>;
  jobs: ResourceClient<Job>;
  pods: ResourceClient<Pod>;
  claims: ResourceClient<PersistentVolumeClaim>;
  events: ResourceClient<WarningEvent>;
}

export function resources(client: KubeClient): Resources {
  const km = { group: GROUP, version: VERSION, namespaced: true };
  return {
    schedules: resource(client, { ...km, plural: 'kmbackupschedules', kind: 'KmBackupSchedule' }),
    backups: resource(client, { ...km, plural: 'kmbackups', kind: 'KmBackup' }),
    jobs: resource(client, { group: 'batch', version: 'v1', plural: 'jobs', kind: 'Job', namespaced: true }),
    pods: resource(client, { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true }),
    claims: resource(client, {
      group: '',
      version: 'v1',
      plural: 'persistentvolumeclaims',
      kind: 'PersistentVolumeClaim',
      namespaced: true,
    }),
    events: resource(client, {
      group: 'events.k8s.io',
      version: 'v1',
      plural: 'events',
      kind: 'Event',
      namespaced: true,
    }),
  };
}
