/** The rights that commands need in a namespace, and which of them the caller has. */
import { GROUP } from '../api/names.ts';
import type { Cluster } from './cluster.ts';
import { FleetError, unlessDenied } from './errors.ts';

/** A right that commands need. */
export interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** Commands that need it. */
  readonly commands: string;
}

const km = (verb: string, plural: string, commands: string): Right => ({
  verb,
  group: GROUP,
  resource: plural,
  commands,
});

const READERS = 'ls, cat, get, diff, history, verify';
const exec = { group: '', resource: 'pods', subresource: 'exec', commands: READERS };

/** To run a pod that reads archives, to talk to it, and to remove it. */
const READING: readonly Right[] = [
  { verb: 'list', group: '', resource: 'pods', commands: `why, logs, ${READERS}` },
  { verb: 'create', group: 'batch', resource: 'jobs', commands: READERS },
  { verb: 'delete', group: 'batch', resource: 'jobs', commands: READERS },
  { verb: 'create', ...exec },
  // The connection begins with a GET. Since 1.35 the API server wants both.
  { verb: 'get', ...exec },
];

export const RIGHTS: readonly Right[] = [
  km('list', 'kmbackupschedules', 'status, why, doctor'),
  km('list', 'kmbackups', 'list, why'),
  km('list', 'kmrestores', 'status, why'),
  km('create', 'kmbackups', 'run'),
  km('create', 'kmrestores', 'restore, drill'),
  km('delete', 'kmrestores', 'restore'),
  km('patch', 'kmbackupschedules', 'suspend, resume'),
  km('patch', 'kmbackups', 'approve'),
  { verb: 'get', group: '', resource: 'pods', subresource: 'log', commands: 'why, logs' },
  { verb: 'list', group: 'events.k8s.io', resource: 'events', commands: 'why' },
  { verb: 'list', group: '', resource: 'persistentvolumeclaims', commands: 'coverage' },
  ...READING,
];

/** `create pods/exec` */
export const wordsOf = ({ verb, resource, subresource }: Right): string =>
  `${verb} ${subresource ? `${resource}/${subresource}` : resource}`;

export interface Granted {
  readonly right: Right;
  readonly allowed: boolean;
}

export function rightsIn(
  { client }: Cluster,
  namespace: string,
  rights: readonly Right[] = RIGHTS,
): Promise<Granted[]> {
  return Promise.all(
    rights.map(async (right) => {
      const { verb, group, resource, subresource } = right;
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
              resource,
              ...(subresource && { subresource }),
            },
          },
        },
      });
      return { right, allowed: review.status?.allowed === true };
    }),
  );
}

/**
 * Asked before a pod is created, because a refusal of `pods/exec` says nothing about rights, and a Job that its creator
 * may not delete would stay.
 * @throws {FleetError} Denied when the caller may not read archives in the namespace.
 */
export async function requireReading(cluster: Cluster, namespace: string): Promise<void> {
  const rights = await unlessDenied(rightsIn(cluster, namespace, READING));
  // Nobody says: then the requests themselves show it.
  if (rights === 'denied') return;
  const missing = rights.filter(({ allowed }) => !allowed).map(({ right }) => wordsOf(right));
  if (missing.length === 0) return;
  throw new FleetError(
    'Denied',
    `You may not do this: reading an archive starts a pod for a moment, and in namespace ${namespace} you may not ${missing.join(', ')}. Ask for that; the role edit of Kubernetes has it.`,
  );
}
