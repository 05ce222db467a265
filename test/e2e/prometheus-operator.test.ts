/** The chart's ServiceMonitor, PodMonitor and alerts, as the Prometheus Operator and a real Prometheus take them. */
import type { ChildProcess } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clusterOpen, elapsedLog } from '../cluster/index.ts';
import { CLUSTER_NAME } from '../support/install.ts';
import { eventually, type Kubectl } from '../support/kubectl.ts';
import {
  ensurePrometheusOperator,
  type Images,
  LOCAL_IMAGES,
  PROMETHEUS_VERSION,
  PUBLIC_IMAGES,
  startPrometheusOperator,
} from '../support/prometheus-operator.ts';
import { runNow, schedule } from '../support/resources.ts';
import { applyDataClaim, mountOf, nodeIn } from '../support/volume.ts';
import { cluster, restrictedNamespace, setChartValues } from './context.ts';

const CHART = join(import.meta.dirname, '../../charts/km-backup-operator');
const INTERVAL = '2s';
const SELECTED = { prometheus: 'km-e2e' };

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

let monitoring: Kubectl;
let shop: Kubectl;
const removals: (() => Promise<void>)[] = [];
let operator: ChildProcess | undefined;
let images: Images;

async function namespace(purpose: string): Promise<Kubectl> {
  const { kubectl, remove } = await restrictedNamespace(purpose);
  removals.push(remove);
  return kubectl;
}

async function query(expression: string): Promise<Series[]> {
  const path = `/api/v1/namespaces/${monitoring.namespace}/pods/prometheus-km-0:9090/proxy/api/v1/query`;
  const answer = await monitoring.run(['get', '--raw', `${path}?query=${encodeURIComponent(expression)}`]);
  const body = JSON.parse(answer) as { status: string; data: { result: Series[] } };
  expect(body.status).toBe('success');
  return body.data.result;
}

/** Waits until a query answers with one series whose value holds. */
const seen = (expression: string, holds: (value: number) => boolean): Promise<Series[]> =>
  eventually(
    () => query(expression).catch((): Series[] => []),
    (found) => found.length === 1 && holds(Number(found[0]!.value[1])),
    (last) => `${expression}; its last answer: ${JSON.stringify(last)}`,
  );

const prometheus = (): object[] => {
  const name = 'km-prometheus';
  const { namespace } = monitoring;
  const clusterWide = `${name}-${namespace}`;
  const any = {};
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: clusterWide },
      rules: [
        { apiGroups: [''], resources: ['services', 'endpoints', 'pods'], verbs: ['get', 'list', 'watch'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: clusterWide },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: clusterWide },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    },
    {
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'Prometheus',
      metadata: { name: 'km' },
      spec: {
        image: images.prometheus,
        version: PROMETHEUS_VERSION,
        serviceAccountName: name,
        scrapeInterval: INTERVAL,
        evaluationInterval: INTERVAL,
        serviceMonitorSelector: { matchLabels: SELECTED },
        serviceMonitorNamespaceSelector: any,
        podMonitorSelector: { matchLabels: SELECTED },
        podMonitorNamespaceSelector: any,
        ruleSelector: { matchLabels: SELECTED },
        ruleNamespaceSelector: any,
        securityContext: {
          runAsNonRoot: true,
          runAsUser: 65_534,
          runAsGroup: 65_534,
          fsGroup: 65_534,
          seccompProfile: { type: 'RuntimeDefault' },
        },
      },
    },
  ];
};

beforeAll(async () => {
  const programs = await ensurePrometheusOperator();
  // A cluster of somebody else's pulls the images of the projects.
  const own = await clusterOpen({ name: CLUSTER_NAME, log: elapsedLog(process.stderr) });
  images = own ? LOCAL_IMAGES : PUBLIC_IMAGES;
  for (const archive of programs.archives) await own?.loadImage(archive);
  monitoring = await namespace('monitoring');
  shop = await namespace('shop');
  for (const file of programs.crds) await monitoring.run(['apply', '--server-side', '-f', file]);
  // It looks once, at its start, which kinds are served.
  await monitoring.run([
    ...['wait', '--for=condition=Established', '--timeout=120s'],
    ...programs.crds.flatMap((file) => ['-f', file]),
  ]);
  operator = startPrometheusOperator(programs.program, images, cluster().kubeconfig, [
    monitoring.namespace,
    cluster().operator.namespace,
  ]);
  await monitoring.apply(prometheus());
  await setChartValues(
    'serviceMonitor.enabled=true',
    `serviceMonitor.interval=${INTERVAL}`,
    'serviceMonitor.labels.prometheus=km-e2e',
    'prometheusRule.enabled=true',
    'prometheusRule.labels.prometheus=km-e2e',
    'prometheusRule.runbookBaseUrl=https://example.com/alerts',
  );
  await applyDataClaim(shop, cluster().image);
  await shop.apply([
    schedule('orders', {
      source: { persistentVolumeClaim: { claimName: 'data' } },
      suspend: false,
      cron: '0 3 1 1 *',
    }),
  ]);
});

afterAll(async () => {
  await setChartValues(
    'serviceMonitor.enabled=false',
    'podMonitor.enabled=false',
    'prometheusRule.enabled=false',
    'metrics.secure.enabled=false',
  );
  operator?.kill();
  for (const kind of ['clusterrolebinding', 'clusterrole'])
    await monitoring?.run(['delete', kind, `km-prometheus-${monitoring.namespace}`, '--ignore-not-found']);
  for (const remove of removals) await remove();
});

const orders = () => `namespace="${shop.namespace}",schedule="orders"`;

describe('the Prometheus Operator', () => {
  it('scrapes the operator by the ServiceMonitor of the chart', async () => {
    await seen('up{job="km-backup-operator"}', (value) => value === 1);
    await seen(`km_backup_suspended{${orders()}}`, (value) => value === 0);
  });

  it('raises an alert while the last run of a schedule failed, and clears it once one succeeds', async () => {
    const failed = await runNow(shop, 'orders');
    expect(failed.status?.phase).toBe('Failed');
    const alert = `ALERTS{alertname="KmBackupFailed",alertstate="firing",${orders()}}`;
    const [firing] = await seen(alert, (value) => value === 1);
    expect(firing!.metric['severity']).toBe('warning');

    await nodeIn(
      shop,
      'toolbox',
      `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(`${mountOf('data')}/order`)}, '1')`,
    );
    const succeeded = await runNow(shop, 'orders');
    expect(succeeded.status?.phase).toBe('Succeeded');
    await seen(`km_backup_last_status{${orders()}}`, (value) => value === 1);
    await eventually(
      () => query(alert),
      (found) => found.length === 0,
      (last) => `the alert to end; ${JSON.stringify(last)}`,
    );
  });

  it.each(['km-backup.json', 'km-backup-schedule.json'])(
    'answers every query of dashboard %s',
    async (name) => {
      const dashboard = JSON.parse(await readFile(join(CHART, 'dashboards', name), 'utf8')) as {
        panels: {
          title: string;
          targets?: { expr: string }[];
          panels?: { targets?: { expr: string }[] }[];
        }[];
      };
      const targets = dashboard.panels
        .flatMap((panel) => [panel, ...(panel.panels ?? [])])
        .flatMap((panel) => panel.targets ?? []);
      expect(targets.length).toBeGreaterThan(0);
      for (const { expr } of targets) {
        const filled = expr.replaceAll('$namespace', '.*').replaceAll('$schedule', '.*');
        await query(filled.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h'));
      }
    },
  );

  it('scrapes over TLS, with the token of its own service account', async () => {
    await setChartValues(
      'metrics.secure.enabled=true',
      'metrics.secure.readers[0].name=km-prometheus',
      `metrics.secure.readers[0].namespace=${monitoring.namespace}`,
    );
    await seen('up{job="km-backup-operator",endpoint="metrics"}', (value) => value === 1);
    await seen(`km_backup_suspended{endpoint="metrics",${orders()}}`, (value) => value === 0);
  });

  it('scrapes by the PodMonitor instead', async () => {
    await setChartValues(
      'serviceMonitor.enabled=false',
      'metrics.secure.enabled=false',
      'metrics.secure.readers=null',
      'podMonitor.enabled=true',
      `podMonitor.interval=${INTERVAL}`,
      'podMonitor.labels.prometheus=km-e2e',
    );
    await seen('up{job="km-system/km-backup-operator"}', (value) => value === 1);
  });
});
