/** Reads what `doctor` checks. What the caller may not see is `denied`, and the rest is still checked. */
import type { KmBackup } from '../api/backup.ts';
import type { KmBackupSchedule } from '../api/backup-schedule.ts';
import { RESOURCES } from '../api/crd.ts';
import { GROUP, MANAGED_SELECTOR } from '../api/names.ts';
import type { KubeObject } from '../kube/object.ts';
import { resource } from '../kube/resources.ts';
import type { PersistentVolumeClaim, Pod } from '../operator/workloads.ts';
import type { Cluster } from './cluster.ts';
import { unlessDenied, unlessMissing } from './errors.ts';
import { type OperatorState, operatorState } from './operator-state.ts';
import { type Granted, rightsIn } from './rights.ts';

export type Denied = 'denied';

export interface Quota extends KubeObject {
  readonly status?: { readonly hard?: Record<string, string>; readonly used?: Record<string, string> };
}

export interface Claim extends PersistentVolumeClaim {
  readonly status?: { readonly phase?: string; readonly capacity?: { readonly storage?: string } };
}

/** A CRD as the cluster has it; undefined if it has none. */
export interface Definition extends KubeObject {
  readonly spec?: {
    readonly versions?: readonly {
      readonly name: string;
      readonly schema?: { readonly openAPIV3Schema?: JsonSchema };
    }[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

export interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly items?: JsonSchema;
}

export interface Diagnosed {
  readonly namespace: string;
  readonly nowMs: number;
  readonly rights: readonly Granted[] | Denied;
  readonly definitions: ReadonlyMap<string, Definition | undefined | Denied>;
  readonly operator: OperatorState;
  readonly quotas: readonly Quota[] | Denied;
  readonly claims: readonly Claim[] | Denied;
  /** All pods of the namespace. */
  readonly pods: readonly Pod[] | Denied;
  readonly schedules: readonly KmBackupSchedule[] | Denied;
  readonly backups: readonly KmBackup[] | Denied;
}

export async function diagnose(cluster: Cluster, namespace: string): Promise<Diagnosed> {
  const { client, resources, clock } = cluster;
  const quotas = resource<Quota>(client, {
    group: '',
    version: 'v1',
    plural: 'resourcequotas',
    kind: 'ResourceQuota',
    namespaced: true,
  });
  const items = async <T extends KubeObject>(list: Promise<{ items: T[] }>): Promise<T[] | Denied> => {
    const found = await unlessDenied(unlessMissingKind(list));
    return found === 'denied' ? found : (found?.items ?? []);
  };
  const [rights, definitions, operator, quotaList, claims, pods, schedules, backups] = await Promise.all([
    unlessDenied(rightsIn(cluster, namespace)),
    definitionsOf(cluster),
    operatorState(cluster),
    items(quotas.list(namespace)),
    items(resources.claims.list(namespace)),
    items(resources.pods.list(namespace)),
    items(resources.schedules.list(namespace)),
    items(resources.backups.list(namespace)),
  ]);
  return {
    namespace,
    nowMs: clock.now(),
    rights,
    definitions,
    operator,
    quotas: quotaList,
    claims,
    pods,
    schedules,
    backups,
  };
}

/** A resource that the cluster does not know has no objects: its definition is checked by itself. */
async function unlessMissingKind<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if ((error as { status?: number }).status === 404) return undefined;
    throw error;
  }
}

async function definitionsOf({ client }: Cluster): Promise<Diagnosed['definitions']> {
  const definitions = resource<Definition>(client, {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    namespaced: false,
  });
  const entries = RESOURCES.map(async ({ plural }) => {
    const name = `${plural}.${GROUP}`;
    return [name, await unlessDenied(unlessMissing(definitions.get(undefined, name)))] as const;
  });
  return new Map(await Promise.all(entries));
}

/** Pods of the operator's Jobs. */
export const isOurs = ({ metadata }: Pod): boolean => {
  const [label = '', value] = MANAGED_SELECTOR.split('=');
  return metadata.labels?.[label] === value;
};
