/** The chart with many sets of values: linted, and accepted by a real API server, which checks every field. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { parseAllDocuments, stringify } from 'yaml';
import { ensureClients } from '../../cluster/binaries.ts';
import { cacheRoot } from '../../cluster/layout.ts';
import { run } from '../../cluster/process.ts';
import { silent } from '../../cluster/progress.ts';
import { type OwnNamespace, ownNamespace } from '../../support/kube.ts';
import { Kubectl, type KubeObject } from '../../support/kubectl.ts';
import { ensurePrometheusOperatorCrds } from '../../support/prometheus-operator.ts';

const CHART = join(import.meta.dirname, '../../../charts/km-backup-operator');

type Values = Readonly<Record<string, unknown>>;

let own: OwnNamespace;
let kubectl: Kubectl;
let helmProgram: string;
let folder: string;

beforeAll(async () => {
  const clients = await ensureClients(cacheRoot(process.env, homedir()), silent);
  helmProgram = clients.helm;
  own = await ownNamespace();
  kubectl = new Kubectl(clients.kubectl, inject('kubeconfig'), own.name);
  folder = await mkdtemp(join(tmpdir(), 'km-matrix-'));
  const crds = (await ensurePrometheusOperatorCrds()).filter((file) =>
    /_(servicemonitors|podmonitors|prometheusrules)\.yaml$/.test(file),
  );
  await kubectl.run(['apply', '--server-side', ...crds.flatMap((file) => ['-f', file])]);
  await kubectl.run([
    ...['wait', '--for=condition=Established', '--timeout=60s'],
    ...crds.flatMap((file) => ['-f', file]),
  ]);
});

afterAll(async () => {
  await own?.remove();
  await rm(folder, { recursive: true, force: true });
});

async function helm(
  command: 'template' | 'lint',
  values: Values,
  flags: readonly string[] = [],
): Promise<string> {
  const file = join(folder, 'values.yaml');
  await writeFile(file, stringify(values));
  const release = command === 'template' ? ['release', CHART] : [CHART, '--strict'];
  return (await run(helmProgram, [command, ...release, '--namespace', own.name, '--values', file, ...flags]))
    .stdout;
}

/** Rejects with the words of Helm or of the API server. */
async function accepted(values: Values): Promise<KubeObject[]> {
  const yaml = await helm('template', values);
  const objects = parseAllDocuments(yaml)
    .map((document) => document.toJS() as KubeObject | null)
    .filter((object) => object !== null);
  // Admission looks for that of a pod.
  await kubectl.apply(objects.filter(({ kind }) => kind === 'ServiceAccount'));
  await kubectl.run(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], yaml);
  return objects;
}

const digest = `sha256:${'0'.repeat(64)}`;
const monitored = {
  serviceMonitor: { enabled: true, labels: { prometheus: 'main' } },
  prometheusRule: {
    enabled: true,
    labels: { prometheus: 'main' },
    alertLabels: { severity: 'page', team: 'storage' },
    runbookBaseUrl: 'https://example.com/alerts/',
  },
  grafanaDashboard: { enabled: true },
};
const toleration = { key: 'dedicated', operator: 'Equal', value: 'backup', effect: 'NoSchedule' };

/** Each is valid as it stands. */
const MATRIX: readonly [name: string, values: () => Values][] = [
  ['defaults', () => ({})],
  ['two replicas', () => ({ replicas: 2 })],
  ['no replica', () => ({ replicas: 0 })],
  [
    'two replicas, without a disruption budget',
    () => ({ replicas: 2, podDisruptionBudget: { enabled: false } }),
  ],
  ['no leader election', () => ({ leaderElection: { enabled: false } })],
  ['one namespace', () => ({ namespaces: [own.name], rbac: { aggregateToUserRoles: false } })],
  [
    'roles of somebody else',
    () => ({ rbac: { create: false }, serviceAccount: { create: false, name: 'theirs' } }),
  ],
  ['monitoring', () => monitored],
  [
    'PodMonitor',
    () => ({
      ...monitored,
      serviceMonitor: { enabled: false },
      podMonitor: { enabled: true, labels: { a: 'b' } },
    }),
  ],
  ['metrics over TLS', () => ({ ...monitored, metrics: { secure: { enabled: true } } })],
  [
    'metrics over TLS, with a certificate and a reader',
    () => ({
      ...monitored,
      networkPolicy: { enabled: true },
      metrics: {
        secure: {
          enabled: true,
          certificateSecretName: 'metrics-tls',
          readers: [{ name: 'prometheus-k8s', namespace: 'monitoring' }],
        },
      },
    }),
  ],
  [
    'metrics over TLS by PodMonitor',
    () => ({
      podMonitor: { enabled: true },
      metrics: {
        secure: {
          enabled: true,
          authorization: { credentials: { name: 'token', key: 'token' } },
          tlsConfig: { ca: { configMap: { name: 'ca', key: 'ca.crt' } }, serverName: 'operator' },
        },
      },
    }),
  ],
  [
    'OpenShift, which chooses the user',
    () => ({
      podSecurityContext: { runAsUser: null, runAsGroup: null },
      jobs: { defaultUser: false },
    }),
  ],
  [
    'a network policy',
    () => ({
      networkPolicy: {
        enabled: true,
        from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
        egress: [{ to: [{ ipBlock: { cidr: '10.0.0.1/32' } }], ports: [{ port: 6443, protocol: 'TCP' }] }],
      },
    }),
  ],
  [
    'everything about images',
    () => ({
      global: { imageRegistry: 'mirror.example:5000/team' },
      image: { repository: 'ghcr.io/org/km-backup-operator', digest, pullPolicy: 'Always' },
      imagePullSecrets: [{ name: 'pull.secret' }],
      jobs: { imagePullSecrets: [{ name: 'pull' }], allowScripts: true },
      restore: { quiesce: false, newClaims: false, stepImages: ['registry.example/psql:16'] },
    }),
  ],
  [
    'everything that is added',
    () => ({
      commonLabels: { 'example.com/team': 'storage' },
      podLabels: { team: 'storage' },
      podAnnotations: { 'example.com/note': 'any text, even this' },
      serviceAccount: { annotations: { 'eks.amazonaws.com/role-arn': 'arn:aws:iam::1:role/x' } },
      service: { port: 9090, annotations: { 'example.com/a': 'b' } },
      extraEnv: [
        { name: 'HTTPS_PROXY', value: 'http://proxy:3128' },
        { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'proxy', key: 'token' } } },
      ],
      extraVolumes: [{ name: 'ca', configMap: { name: 'ca' } }],
      extraVolumeMounts: [{ name: 'ca', mountPath: '/etc/ca', readOnly: true }],
      extraObjects: [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: '{{ .Release.Name }}-extra', namespace: '{{ .Release.Namespace }}' },
        },
      ],
    }),
  ],
  [
    'placement',
    () => ({
      replicas: 3,
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [toleration],
      affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } },
      topologySpreadConstraints: [
        {
          maxSkew: 1,
          topologyKey: 'topology.kubernetes.io/zone',
          whenUnsatisfiable: 'DoNotSchedule',
          labelSelector: { matchLabels: { 'app.kubernetes.io/component': 'operator' } },
        },
      ],
      resources: {
        requests: { cpu: '50m', memory: '128Mi', 'ephemeral-storage': '1Gi' },
        limits: { memory: 5e8 },
      },
    }),
  ],
  [
    'elevated namespaces, the page and a loud log',
    () => ({ elevated: { namespaces: ['shop', 'blog'] }, page: { enabled: true }, logLevel: 'debug' }),
  ],
  ['traces', () => ({ tracing: { endpoint: 'http://otel-collector.monitoring:4318' } })],
  ['other names', () => ({ nameOverride: 'x', test: { storageClassName: 'fast.ssd', size: '1Gi' } })],
  ['the longest name', () => ({ fullnameOverride: 'n'.repeat(52), crds: { upgrade: false } })],
  [
    'values that are gone, for one version',
    () => ({ prometheusRule: { overdueIntervals: 2, overdueGraceSeconds: 9 } }),
  ],
];

describe('the chart', () => {
  it.each(MATRIX)('is accepted with %s', async (_, values) => {
    await helm('lint', values());
    const objects = await accepted(values());
    expect(objects.length).toBeGreaterThan(4);
  });

  it('meets "restricted" as the platform of OpenShift checks it: no user, and what its admission adds', async () => {
    const values = {
      podSecurityContext: { runAsUser: null, runAsGroup: null },
      jobs: { defaultUser: false },
    };
    const [pod] = (await accepted(values))
      .filter(({ kind }) => kind === 'Deployment')
      .map(({ spec }) => spec.template.spec);
    const [container] = pod.containers;
    for (const context of [pod.securityContext, container.securityContext]) {
      expect(context).not.toHaveProperty('runAsUser');
      expect(context).not.toHaveProperty('fsGroup');
      expect(context).not.toHaveProperty('seLinuxOptions');
    }
    expect(container.args).toContain('--no-default-user');
  });
});

/** Values at a place that becomes a name, label or path in an object. */
const PLACES: readonly [place: string, values: (text: string) => Values][] = [
  ['serviceAccount.name', (name) => ({ serviceAccount: { name } })],
  ['priorityClassName', (priorityClassName) => ({ priorityClassName })],
  ['imagePullSecrets', (name) => ({ imagePullSecrets: [{ name }] })],
  ['fullnameOverride', (fullnameOverride) => ({ fullnameOverride })],
  [
    'certificateSecretName',
    (certificateSecretName) => ({ metrics: { secure: { enabled: true, certificateSecretName } } }),
  ],
  [
    'a reader',
    (name) => ({ metrics: { secure: { enabled: true, readers: [{ name, namespace: 'monitoring' }] } } }),
  ],
  ['an environment variable', (name) => ({ extraEnv: [{ name, value: 'x' }] })],
  ['a volume', (name) => ({ extraVolumes: [{ name, emptyDir: {} }] })],
  ['a label', (key) => ({ commonLabels: { [key]: 'x' } })],
  ['the value of a label', (value) => ({ podLabels: { team: value } })],
  ['an annotation', (key) => ({ podAnnotations: { [key]: 'x' } })],
  ['a quantity', (memory) => ({ resources: { requests: { memory } } })],
  ['a resource', (name) => ({ resources: { requests: { [name]: '1' }, limits: { [name]: '1' } } })],
];
const NAMES = [
  'a',
  'A',
  'a-b',
  'a.b',
  'a..b',
  '-a',
  'a-',
  'a_b',
  'a b',
  'a/b',
  'a./b',
  'A/b',
  'example.com/name',
  'x'.repeat(63),
  'x'.repeat(64),
  '128Mi',
  '1.5',
  '42',
  'true',
  '12 Mi',
  '1Zi',
  '-1',
  'memory',
  'ä',
  'a\nb',
];

describe('a name that the API server refuses', () => {
  it.each(PLACES)('is refused by the schema: %s', async (place, values) => {
    const passed: string[] = [];
    for (const name of NAMES) {
      try {
        passed.push(await helm('template', values(name), ['--no-hooks']));
      } catch (error) {
        expect([place, name, (error as Error).message]).toEqual([
          place,
          name,
          expect.stringContaining('schema'),
        ]);
      }
    }
    expect(passed.length).toBeGreaterThan(0);
    expect(passed.length).toBeLessThan(NAMES.length);
    await kubectl.run(['apply', '--dry-run=server', '--validate=strict', '-f', '-'], passed.join('\n---\n'));
  });
});
