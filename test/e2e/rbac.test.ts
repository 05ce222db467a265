import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { cluster, kubectlIn, restrictedNamespace } from './context.ts';

let kubectl: Kubectl;
let remove: () => Promise<void>;

const KM = 'km.duskmantle.io';
/** Every right of the operator in a namespace it serves: `verb resource.group`. */
const RIGHTS = [
  ...allow(['get', 'list', 'watch'], `kmbackupschedules.${KM}`),
  ...allow(['get', 'list', 'watch', 'create', 'delete'], `kmbackups.${KM}`),
  ...allow(['get', 'patch'], `kmbackupschedules/status.${KM}`, `kmbackups/status.${KM}`),
  ...allow(['get', 'list', 'watch', 'create', 'delete'], 'jobs.batch'),
  ...allow(['get', 'list', 'watch'], 'pods.'),
  ...allow(['get'], 'persistentvolumeclaims.'),
  ...allow(['create', 'patch'], 'events.events.k8s.io'),
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
  const review: KubeObject = JSON.parse(
    await kubectl.run(
      [
        'create',
        '-o',
        'json',
        '-f',
        '-',
        '--as',
        user,
        ...groupsOf(user).flatMap((group) => ['--as-group', group]),
      ],
      JSON.stringify({
        apiVersion: 'authorization.k8s.io/v1',
        kind: 'SelfSubjectRulesReview',
        metadata: {},
        spec: { namespace },
      }),
    ),
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

/** kubectl does not add the groups that a real service account's token carries. */
function groupsOf(user: string): string[] {
  const [, , namespace] = user.split(':');
  return ['system:authenticated', 'system:serviceaccounts', `system:serviceaccounts:${namespace}`];
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
    ['create', 'persistentvolumeclaims'],
    ['delete', 'persistentvolumeclaims'],
    ['patch', 'kmbackupschedules.km.duskmantle.io'],
    ['create', 'kmbackupschedules.km.duskmantle.io'],
    ['delete', 'kmbackupschedules.km.duskmantle.io'],
    ['create', 'serviceaccounts/token'],
    ['impersonate', 'users'],
    ['bind', 'clusterroles.rbac.authorization.k8s.io'],
  ])('do not let it %s %s', async (verb, resource) => {
    const answer = await kubectl
      .run(['auth', 'can-i', verb, resource, '--as', account()])
      .catch((error: Error) => error.message);
    expect(answer).toMatch(/\bno\b/);
  });
});

describe('people', () => {
  it.each([
    ['view', 'get', 'kmbackupschedules', 'yes'],
    ['view', 'list', 'kmbackups', 'yes'],
    ['view', 'create', 'kmbackups', 'no'],
    ['edit', 'create', 'kmbackupschedules', 'yes'],
    ['edit', 'create', 'kmbackups', 'yes'],
    ['edit', 'patch', 'kmbackupschedules', 'yes'],
    ['edit', 'patch', 'kmbackups/status', 'no'],
    ['admin', 'delete', 'kmbackupschedules', 'yes'],
  ])('with the role %s may %s %s: %s', async (role, verb, resource, expected) => {
    const user = `e2e-${role}`;
    const binding = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: user },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
    };
    await kubectl.apply([binding]);
    const answer = await kubectl
      .run(['auth', 'can-i', verb, `${resource.replace(/^[a-z]+/, '$&.km.duskmantle.io')}`, '--as', user])
      .catch((error: Error) => error.message);
    expect(answer).toMatch(new RegExp(`\\b${expected}\\b`));
  });
});

describe('a list of namespaces', () => {
  it('gets Roles there and no right anywhere else', async () => {
    const { helm, image } = cluster();
    const { run } = await import('../cluster/process.ts');
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
