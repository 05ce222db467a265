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

/** A right that commands need. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Commands that need it. */
  readonly commands: string;
}

export interface Diagnosed {
  readonly namespace: string;
  readonly nowMs: number;
  readonly rights: readonly { readonly right: Right; readonly allowed: boolean }[] | Denied;
  readonly definitions: ReadonlyMap<string, Definition | undefined | Denied>;
  readonly operator: OperatorState;
  readonly quotas: readonly Quota[] | Denied;
  readonly claims: readonly Claim[] | Denied;
  /** All pods of the namespace. */
  readonly pods: readonly Pod[] | Denied;
  readonly schedules: readonly KmBackupSchedule[] | Denied;
  readonly backups: readonly KmBackup[] | Denied;
}

const km = (verb: string, plural: string, commands: string): Right => ({
  verb,
  group: GROUP,
  resource: plural,
  commands,
});

export const RIGHTS: readonly Right[] = [
  km('list', 'kmbackupschedules', 'status, why, doctor'),
  km('list', 'kmbackups', 'list, why'),
  km('list', 'kmrestores', 'status, why'),
  km('create', 'kmbackups', 'run'),
  km('create', 'kmrestores', 'restore, drill'),
  km('delete', 'kmrestores', 'restore'),
  km('patch', 'kmbackupschedules', 'suspend, resume'),
  km('patch', 'kmbackups', 'approve'),
  { verb: 'list', group: '', resource: 'pods', commands: 'why, logs, ls, cat, get, diff, history, verify' },
  { verb: 'get', group: '', resource: 'pods', subresource: 'log', commands: 'why, logs' },
  { verb: 'list', group: 'events.k8s.io', resource: 'events', commands: 'why' },
  { verb: 'list', group: '', resource: 'persistentvolumeclaims', commands: 'coverage' },
  { verb: 'create', group: 'batch', resource: 'jobs', commands: 'ls, cat, get, diff, history, verify' },
  { verb: 'delete', group: 'batch', resource: 'jobs', commands: 'ls, cat, get, diff, history, verify' },
  {
    verb: 'create',
    group: '',
    resource: 'pods',
    subresource: 'exec',
    commands: 'ls, cat, get, diff, history, verify',
  },
];

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

function rightsIn({ client }: Cluster, namespace: string) {
  return Promise.all(
    RIGHTS.map(async (right) => {
      const { verb, group, resource: plural, subresource } = right;
      const review = await client.request<{ status?: { allowed?: boolean } }>({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: {
            resourceAttributes: {
              namespace,
              verb,
              group,
              resource: plural,
              ...(subresource && { subresource }),
            },
          },
        },
      });
      return { right, allowed: review.status?.allowed === true };
    }),
  );
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
