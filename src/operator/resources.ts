import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import type { KmBackupLocation } from '../api/location.ts';
import { GROUP, VERSION } from '../api/names.ts';
import type { KmRestore } from '../api/restore.ts';
import type { KubeClient } from '../kube/client.ts';
import { type ResourceClient, resource } from '../kube/resources.ts';
import type { WarningEvent } from './backup/events.ts';
import type { Job, PersistentVolumeClaim, Pod, Service, WorkloadObject } from './workloads.ts';

/** Every kind the operator reads or writes. */
export interface Resources {
  schedules: ResourceClient<KmBackupSchedule>;
  backups: ResourceClient<KmBackup>;
  jobs: ResourceClient<Job>;
  pods: ResourceClient<Pod>;
  claims: ResourceClient<PersistentVolumeClaim>;
  events: ResourceClient<WarningEvent>;
  restores: ResourceClient<KmRestore>;
  locations: ResourceClient<KmBackupLocation>;
  services: ResourceClient<Service>;
  /** By kind: what may own a pod that mounts a claim. */
  workloads: Readonly<Record<string, ResourceClient<WorkloadObject>>>;
}

export function resources(client: KubeClient): Resources {
  const km = { group: GROUP, version: VERSION, namespaced: true };
  const workload = (group: string, plural: string, kind: string) =>
    resource<WorkloadObject>(client, { group, version: 'v1', plural, kind, namespaced: true });
  return {
    restores: resource(client, { ...km, plural: 'kmrestores', kind: 'KmRestore' }),
    locations: resource(client, { ...km, plural: 'kmbackuplocations', kind: 'KmBackupLocation' }),
    services: resource(client, {
      group: '',
      version: 'v1',
      plural: 'services',
      kind: 'Service',
      namespaced: true,
    }),
    workloads: {
      Deployment: workload('apps', 'deployments', 'Deployment'),
      StatefulSet: workload('apps', 'statefulsets', 'StatefulSet'),
      ReplicaSet: workload('apps', 'replicasets', 'ReplicaSet'),
      DaemonSet: workload('apps', 'daemonsets', 'DaemonSet'),
      CronJob: workload('batch', 'cronjobs', 'CronJob'),
      Job: workload('batch', 'jobs', 'Job'),
    },
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
