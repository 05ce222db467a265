import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../cluster/process.ts';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;

const KM = 'km.duskmantle.io';
/** Every right of the operator in a namespace it serves: `verb resource.group`. */
const RIGHTS = [
  ...allow(['get', 'list', 'watch'], `kmbackupschedules.${KM}`, `kmbackuplocations.${KM}`),
  ...allow(['get', 'list', 'watch', 'create', 'patch', 'delete'], `kmbackups.${KM}`, `kmrestores.${KM}`),
  ...allow(
    ['get', 'update'],
    `kmbackupschedules/status.${KM}`,
    `kmbackups/status.${KM}`,
    `kmrestores/status.${KM}`,
    `kmbackuplocations/status.${KM}`,
  ),
  ...allow(['get', 'list', 'watch', 'create', 'delete'], 'jobs.batch'),
  ...allow(['get', 'list', 'watch'], 'pods.'),
  ...allow(['get', 'list', 'watch', 'create', 'delete'], 'persistentvolumeclaims.'),
  ...allow(
    ['get'],
    'services.',
    'deployments.apps',
    'statefulsets.apps',
    'replicasets.apps',
    'daemonsets.apps',
  ),
  ...allow(['patch'], 'deployments/scale.apps', 'statefulsets/scale.apps', 'replicasets/scale.apps'),
  ...allow(['get', 'patch'], 'cronjobs.batch'),
  ...allow(['create', 'list', 'patch'], 'events.events.k8s.io'),
].sort();

function allow(verbs: readonly string[], ...resources: string[]): string[] {
  return resources.flatMap((resource) => verbs.map((verb) => `${verb} ${resource}`));
}

interface Rule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** What the API server's authorizer grants a user in a namespace. */
async function grants(namespace: string, user: string): Promise<string[]> {
  const review = await post(
    'selfsubjectrulesreviews',
    { kind: 'SelfSubjectRulesReview', spec: { namespace } },
    ['--as', user, ...groupsOf(user).flatMap((group) => ['--as-group', group])],
  );
  const rules: readonly Rule[] = review.status.resourceRules;
  return rules
    .flatMap(({ verbs, apiGroups, resources, resourceNames }) =>
      verbs.flatMap((verb) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            (resourceNames ?? ['']).map((name) => `${verb} ${resource}.${group}${name && ` ${name}`}`),
          ),
        ),
      ),
    )
    .sort();
}

/** The groups that the token of a service account carries; naming the user alone does not add them. */
function groupsOf(user: string): string[] {
  const [, , namespace] = user.split(':');
  return ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${namespace}`];
}

async function post(resource: string, review: object, options: readonly string[] = []): Promise<KubeObject> {
  const path = `/apis/authorization.k8s.io/v1/${resource}`;
  const body = JSON.stringify({ apiVersion: 'authorization.k8s.io/v1', ...review });
  return JSON.parse(await kubectl.run(['create', '--raw', path, '-f', '-', ...options], body));
}

/** What `kubectl auth can-i VERB RESOURCE[.GROUP][/SUBRESOURCE]` answers in the test's namespace. */
async function mayI(user: string, groups: readonly string[], verb: string, target: string): Promise<boolean> {
  const [name, subresource] = target.split('/');
  const [resource, ...group] = name!.split('.');
  const resourceAttributes = {
    namespace: kubectl.namespace,
    verb,
    resource,
    group: group.join('.'),
    ...(subresource !== undefined && { subresource }),
  };
  const spec = { user, groups, resourceAttributes };
  const { status } = await post('subjectaccessreviews', { kind: 'SubjectAccessReview', spec });
  return status.allowed;
}

const unique = (list: readonly string[]) => [...new Set(list)];

beforeAll(async () => {
  ({ kubectl, remove } = await restrictedNamespace('rbac'));
});
afterAll(() => remove?.());

describe('the rights of the operator', () => {
  const account = () => {
    const { namespace, name } = cluster().operator;
    return `system:serviceaccount:${namespace}:${name}`;
  };

  it('are exactly the ones listed, and what every account has', async () => {
    const everyone = await grants(kubectl.namespace, `system:serviceaccount:${kubectl.namespace}:default`);
    const operator = await grants(kubectl.namespace, account());
    expect(unique(operator.filter((right) => !everyone.includes(right)))).toEqual(RIGHTS);
  });

  it('in its own namespace add the lease of leader election, by name', async () => {
    const { namespace, name } = cluster().operator;
    const here = await grants(namespace, account());
    const elsewhere = await grants(kubectl.namespace, account());
    const lease = 'leases.coordination.k8s.io';
    expect(unique(here.filter((right) => !elsewhere.includes(right)))).toEqual(
      [`create ${lease}`, `get ${lease} ${name}`, `update ${lease} ${name}`].sort(),
    );
  });

  it.each([
    ['get', 'secrets'],
    ['list', 'configmaps'],
    ['create', 'pods'],
    ['create', 'pods/exec'],
    ['get', 'pods/log'],
    ['update', 'jobs.batch'],
    ['update', 'persistentvolumeclaims'],
    ['patch', 'deployments'],
    ['delete', 'statefulsets'],
    ['patch', 'kmbackupschedules.km.duskmantle.io'],
    ['create', 'kmbackupschedules.km.duskmantle.io'],
    ['delete', 'kmbackupschedules.km.duskmantle.io'],
    ['create', 'serviceaccounts/token'],
    ['impersonate', 'users'],
    ['bind', 'clusterroles.rbac.authorization.k8s.io'],
    ['list', 'namespaces'],
    ['get', 'nodes'],
  ])('do not let it %s %s', async (verb, target) => {
    expect(await mayI(account(), groupsOf(account()), verb, target)).toBe(false);
  });

  it('let it do what the matrix says, asked one by one', async () => {
    for (const right of RIGHTS) {
      const [verb, resource] = right.split(' ');
      const target = resource!.replace(/^([a-z]+)\/([a-z]+)\.(.*)$/, '$1.$3/$2').replace(/\.$/, '');
      expect([right, await mayI(account(), groupsOf(account()), verb!, target)]).toEqual([right, true]);
    }
  });
});

describe('people', () => {
  it.each([
    ['view', 'get', 'kmbackupschedules', true],
    ['view', 'list', 'kmbackups', true],
    ['view', 'create', 'kmbackups', false],
    ['edit', 'create', 'kmbackupschedules', true],
    ['edit', 'create', 'kmbackups', true],
    ['edit', 'patch', 'kmbackupschedules', true],
    ['edit', 'patch', 'kmbackups/status', false],
    ['admin', 'delete', 'kmbackupschedules', true],
    ['admin', 'update', 'kmbackupschedules/status', false],
  ])('with the role %s may %s %s: %s', async (role, verb, target, expected) => {
    const user = `e2e-${role}`;
    await kubectl.apply([
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: user },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
      },
    ]);
    const qualified = target.replace(/^[a-z]+/, `$&.${KM}`);
    expect(await mayI(user, ['system:authenticated'], verb, qualified)).toBe(expected);
  });
});

describe('a list of namespaces', () => {
  it('gets Roles there and no right anywhere else', async () => {
    const { helm, image } = cluster();
    const chart = new URL('../../charts/km-backup-operator', import.meta.url).pathname;
    const split = image.lastIndexOf(':');
    const { stdout } = await run(helm, [
      ...['template', 'scoped', chart, '--namespace', kubectl.namespace],
      ...['--set', `namespaces={${kubectl.namespace}}`, '--set', 'rbac.aggregateToUserRoles=false'],
      ...['--set', `image.repository=${image.slice(0, split)}`, '--set', 'replicas=0'],
    ]);
    await kubectl.run(['apply', '-f', '-'], stdout);
    const user = `system:serviceaccount:${kubectl.namespace}:scoped-km-backup-operator`;
    const everyone = await grants('default', 'system:serviceaccount:default:default');
    const here = await grants(kubectl.namespace, user);
    expect(here).toEqual(expect.arrayContaining(RIGHTS));
    expect((await grants('default', user)).filter((right) => !everyone.includes(right))).toEqual([]);
    expect(
      await kubectlIn('default').list('clusterroles', '-l', 'app.kubernetes.io/instance=scoped'),
    ).toEqual([]);
  });
});
