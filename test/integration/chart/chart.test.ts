import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { operatorCommand } from '../../../src/cli/operator/arguments.ts';
import { operatorMetrics } from '../../../src/cli/operator/self-metrics.ts';
import { BACKUP_METRICS, CopyMetrics } from '../../../src/metrics/index.ts';
import type { KubeObject } from '../../support/kubectl.ts';
import { renderChart } from './render.ts';

const ALL = [
  'replicas=2',
  'podDisruptionBudget.enabled=true',
  'networkPolicy.enabled=true',
  'serviceMonitor.enabled=true',
  'prometheusRule.enabled=true',
  'grafanaDashboard.enabled=true',
];

const find = (objects: readonly KubeObject[], kind: string): KubeObject => {
  const found = objects.find((object) => object.kind === kind);
  if (!found) throw new Error(`the chart renders no ${kind}`);
  return found;
};
const operatorArguments = async (...values: string[]): Promise<string[]> =>
  find(await renderChart(values), 'Deployment').spec.template.spec.containers[0].args;

describe('the chart', () => {
  it('renders everything it can', async () => {
    const kinds = new Set((await renderChart(ALL)).map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual([
      'ClusterRole',
      'ClusterRoleBinding',
      'ConfigMap',
      'Deployment',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'PrometheusRule',
      'Role',
      'RoleBinding',
      'Service',
      'ServiceAccount',
      'ServiceMonitor',
    ]);
  });

  it('gives each object a namespace, or a scope of the cluster', async () => {
    for (const { kind, metadata } of await renderChart(ALL)) {
      expect([kind, metadata.namespace]).toEqual([
        kind,
        kind.startsWith('Cluster') ? undefined : 'km-system',
      ]);
    }
  });

  it('tells Jobs to use the image of the operator', async () => {
    const deployment = find(
      await renderChart(['image.repository=r.example/km', 'image.tag=v7']),
      'Deployment',
    );
    const [container] = deployment.spec.template.spec.containers;
    expect(container.image).toBe('r.example/km:v7');
    expect(container.args).toContain('--image=r.example/km:v7');
  });

  it('serves the status page only on request', async () => {
    expect(await operatorArguments()).not.toContain('--page');
    expect(await operatorArguments('page.enabled=true')).toContain('--page');
  });

  it('prefers a digest over a tag', async () => {
    const digest = `sha256:${'a'.repeat(64)}`;
    expect(await operatorArguments('image.repository=r/km', `image.digest=${digest}`)).toContain(
      `--image=r/km@${digest}`,
    );
  });

  it.each([
    ['its defaults', []],
    [
      'other choices',
      ['namespaces={a,b}', 'jobs.allowScripts=true', 'page.enabled=true', 'leaderElection.enabled=false'],
    ],
    [
      'metrics over TLS and a user of the platform',
      ['metrics.secure.enabled=true', 'metrics.secure.certificateSecretName=x', 'jobs.defaultUser=false'],
    ],
  ])('gives the operator only arguments that it takes, with %s', async (_, values) => {
    const command = operatorCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    const args = await operatorArguments(...values);
    expect(() => command.parse(args, { from: 'user' })).not.toThrow();
    expect(command.args).toEqual([]);
  });

  it('adds to the operator what the values say', async () => {
    const objects = await renderChart([
      'extraEnv[0].name=HTTPS_PROXY',
      'extraEnv[0].value=http://proxy:3128',
      'extraVolumes[0].name=ca',
      'extraVolumes[0].configMap.name=ca',
      'extraVolumeMounts[0].name=ca',
      'extraVolumeMounts[0].mountPath=/ca',
      'commonLabels.team=storage',
      'extraObjects[0].apiVersion=v1',
      'extraObjects[0].kind=ConfigMap',
      'extraObjects[0].metadata.name=ca',
      'extraObjects[0].metadata.namespace=\\{\\{ .Release.Namespace \\}\\}',
    ]);
    const { spec } = find(objects, 'Deployment').spec.template;
    expect(spec.containers[0].env).toContainEqual({ name: 'HTTPS_PROXY', value: 'http://proxy:3128' });
    expect(spec.volumes).toEqual([{ name: 'ca', configMap: { name: 'ca' } }]);
    expect(spec.containers[0].volumeMounts).toEqual([{ name: 'ca', mountPath: '/ca' }]);
    expect(find(objects, 'ConfigMap').metadata).toEqual({ name: 'ca', namespace: 'km-system' });
    for (const { kind, metadata } of objects.filter((object) => object.metadata.name !== 'ca'))
      expect([kind, metadata.labels?.['team']]).toEqual([kind, 'storage']);
    const selector = find(objects, 'Deployment').spec.selector.matchLabels;
    expect(Object.keys(selector)).not.toContain('team');
  });

  it.each([
    ['localhost/km-backup-operator', 'mirror.example:5000/km-backup-operator'],
    ['ghcr.io/org/km', 'mirror.example:5000/org/km'],
    ['org/km', 'mirror.example:5000/org/km'],
  ])('takes %s from the registry of all charts', async (repository, expected) => {
    const args = await operatorArguments(
      `image.repository=${repository}`,
      'image.tag=v7',
      'global.imageRegistry=mirror.example:5000',
    );
    expect(args).toContain(`--image=${expected}:v7`);
  });

  it('has Jobs pull with the secrets that the values name', async () => {
    expect((await operatorArguments()).join(' ')).not.toContain('--image-pull-secrets');
    expect(
      await operatorArguments('jobs.imagePullSecrets[0].name=one', 'jobs.imagePullSecrets[1].name=two'),
    ).toContain('--image-pull-secrets=one,two');
  });

  it('leaves the user to the platform where asked to', async () => {
    const objects = await renderChart([
      'podSecurityContext.runAsUser=null',
      'podSecurityContext.runAsGroup=null',
    ]);
    expect(find(objects, 'Deployment').spec.template.spec.securityContext).toEqual({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    });
  });

  it('lets schedules run scripts only when asked to', async () => {
    expect(await operatorArguments()).not.toContain('--allow-scripts');
    expect(await operatorArguments('jobs.allowScripts=true')).toContain('--allow-scripts');
  });

  it('lists the namespaces whose Jobs may be elevated, none by default', async () => {
    expect((await operatorArguments()).join(' ')).not.toContain('--elevated-namespaces');
    expect(await operatorArguments('elevated.namespaces={a,b}')).toContain('--elevated-namespaces=a,b');
  });

  it('makes no ClusterRole for the operator that serves a list of namespaces', async () => {
    const objects = await renderChart(['namespaces={a,b}', 'rbac.aggregateToUserRoles=false']);
    expect(objects.filter(({ kind }) => kind.startsWith('Cluster'))).toEqual([]);
    const roles = objects.filter(({ kind }) => kind === 'Role').map(({ metadata }) => metadata.namespace);
    expect(roles.sort()).toEqual(['a', 'b', 'km-system']);
    expect(await operatorArguments('namespaces={a,b}')).toContain('--namespaces=a,b');
  });

  it.each([
    ['a value it does not know', 'replicaCount=2', /replicaCount/],
    ['a bad namespace', 'namespaces={A_b}', /namespaces/],
    ['every namespace elevated', 'elevated.namespaces={*}', /elevated/],
    ['a name that is none', 'fullnameOverride=Not_a_name', /fullnameOverride/],
    ['a service account that is none', 'serviceAccount.name=a..b', /serviceAccount/],
    ['a pull secret that is none', 'imagePullSecrets[0].name=A', /imagePullSecrets/],
    ['a label that is none', 'podLabels.team=two words', /podLabels/],
    ['an image with its tag', 'image.repository=r/km:v7', /repository/],
    ['an address for a registry', 'global.imageRegistry=https://r', /imageRegistry/],
    ['a log level it does not know', 'logLevel=loud', /logLevel/],
    [
      'replicas without leader election',
      'replicas=2,leaderElection.enabled=false',
      /leaderElection\.enabled/,
    ],
    ['a renewal slower than the lease', 'leaderElection.renewDeadline=15', /renewDeadline < leaseDuration/],
    ['two servers on one port', 'metrics.secure.enabled=true,metrics.secure.port=8080', /must differ/],
    [
      'a PodMonitor without a token',
      'metrics.secure.enabled=true,podMonitor.enabled=true',
      /metrics\.secure\.authorization/,
    ],
    ['a disruption budget that blocks drains', 'podDisruptionBudget.enabled=true', /replicas >= 2/],
  ])('refuses %s', async (_, values, words) => {
    await expect(renderChart(values.split(/,(?=[a-z])/))).rejects.toThrow(words);
  });

  it('has a version equal to that of package.json', () => {
    const root = join(import.meta.dirname, '../../..');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const chart = readFileSync(join(root, 'charts/km-backup-operator/Chart.yaml'), 'utf8');
    expect(chart).toContain(`\nversion: ${version}\n`);
    expect(chart).toContain(`\nappVersion: ${version}\n`);
  });
});

describe('alerts and dashboards', () => {
  const metricsOf = (): { readonly backups: string[]; readonly operator: string[] } => {
    const copies = new Registry();
    new CopyMetrics(copies, { labelled: true });
    const own = new Registry();
    operatorMetrics(own).watchOperator({ leading: () => true, limiter: { running: 0, waiting: 0 } });
    return {
      backups: [...BACKUP_METRICS, ...copies.getMetricsAsArray()].map(({ name }) => name),
      operator: own
        .getMetricsAsArray()
        .map(({ name }) => name)
        .filter((name) => name.startsWith('km_operator_')),
    };
  };
  const usedIn = (object: KubeObject): string[] => [
    ...new Set(
      (JSON.stringify(object).match(/\bkm_(backup|operator)_[a-z_]+/g) ?? []).map((name) =>
        name.replace(/_bucket$/, ''),
      ),
    ),
  ];

  it('ask only for metrics that the operator exposes', async () => {
    const { backups, operator } = metricsOf();
    const objects = await renderChart(ALL);
    for (const kind of ['PrometheusRule', 'ConfigMap']) {
      const used = usedIn(find(objects, kind));
      expect(used.length).toBeGreaterThan(5);
      expect([...backups, ...operator]).toEqual(expect.arrayContaining(used));
    }
  });

  it('the dashboards show every metric', async () => {
    const { backups, operator } = metricsOf();
    const used = usedIn(find(await renderChart(ALL), 'ConfigMap'));
    expect(used.toSorted()).toEqual([...backups, ...operator].toSorted());
  });

  it('take what is overdue from the metric, so that suspension and allowance are the same everywhere', async () => {
    const objects = await renderChart(ALL);
    for (const kind of ['PrometheusRule', 'ConfigMap'])
      expect(JSON.stringify(find(objects, kind))).toContain('km_backup_success_due_timestamp_seconds');
    expect(JSON.stringify(find(objects, 'PrometheusRule'))).not.toContain(
      'km_backup_expected_interval_seconds',
    );
  });

  it('the thresholds of the dashboards are none, some, and now', async () => {
    const { data } = find(await renderChart(ALL), 'ConfigMap') as KubeObject & {
      data: Record<string, string>;
    };
    for (const text of Object.values(data)) {
      const values = [...text.matchAll(/"steps": \[[^\]]*\]/g)].flatMap(([steps]) =>
        [...steps.matchAll(/"value": ([^\s}]+)/g)].map(([, value]) => value),
      );
      expect(values.length).toBeGreaterThan(5);
      expect(new Set(values)).toEqual(new Set(['null', '0', '1']));
    }
  });

  it('come as JSON that Grafana can read, with panels that do not overlap', async () => {
    const { data } = find(await renderChart(ALL), 'ConfigMap') as KubeObject & {
      data: Record<string, string>;
    };
    expect(Object.keys(data).toSorted()).toEqual(['km-backup-schedule.json', 'km-backup.json']);
    for (const [name, text] of Object.entries(data)) {
      const { uid, panels } = JSON.parse(text);
      expect(name).toBe(`${uid}.json`);
      const cells = new Set<string>();
      for (const { gridPos, targets = [], type } of panels) {
        if (type !== 'row') expect(targets.length).toBeGreaterThan(0);
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
            expect(x).toBeLessThan(24);
            expect(cells.has(`${x},${y}`)).toBe(false);
            cells.add(`${x},${y}`);
          }
      }
      expect(new Set(panels.map(({ id }: { id: number }) => id)).size).toBe(panels.length);
    }
  });
});
