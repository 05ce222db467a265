import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Layout } from './layout.ts';
import { run } from './process.ts';

/** Who talks to the API server, and as which groups. */
export const IDENTITIES = {
  admin: { user: 'km-admin', groups: ['system:masters'] },
  'kube-controller-manager': { user: 'system:kube-controller-manager', groups: [] },
  'kube-scheduler': { user: 'system:kube-scheduler', groups: [] },
  'kube-proxy': { user: 'system:kube-proxy', groups: [] },
  kubelet: { user: 'system:node', groups: ['system:nodes'] },
  'local-path-provisioner': { user: 'km-local-path-provisioner', groups: [] },
} as const;

export type Identity = keyof typeof IDENTITIES;

export const pkiDir = (layout: Layout) => join(layout.stateDir, 'pki');

export const kubeconfigOf = (layout: Layout, identity: Identity) =>
  identity === 'admin' ? layout.kubeconfig : join(pkiDir(layout), `${identity}.kubeconfig`);

async function certificate(dir: string, name: string, subject: string, extensions: string): Promise<void> {
  const path = (suffix: string) => join(dir, `${name}.${suffix}`);
  await writeFile(path('ext'), extensions);
  await run('openssl', [
    ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', subject, '-keyout', path('key'), '-out', path('csr')],
  ]);
  await run('openssl', [
    ...[
      'x509',
      '-req',
      '-days',
      '365',
      '-in',
      path('csr'),
      '-CA',
      join(dir, 'ca.crt'),
      '-CAkey',
      join(dir, 'ca.key'),
    ],
    ...['-set_serial', `0x${randomBytes(8).toString('hex')}`, '-extfile', path('ext'), '-out', path('crt')],
  ]);
}

function kubeconfig(layout: Layout, ca: Buffer, user: string, token: string): string {
  const name = layout.name === 'km' ? 'km-backup-operator' : `km-backup-operator-${layout.name}`;
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      clusters: [
        { name, cluster: { server: layout.serverUrl, 'certificate-authority-data': ca.toString('base64') } },
      ],
      users: [{ name: user, user: { token } }],
      contexts: [{ name, context: { cluster: name, user } }],
    },
    null,
    2,
  )}\n`;
}

/** Certificates, tokens and kubeconfigs of one cluster, valid for a year. */
export async function writePki(layout: Layout): Promise<void> {
  const dir = pkiDir(layout);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await run('openssl', [
    ...[
      'req',
      '-x509',
      '-days',
      '365',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
    ],
    ...['-subj', `/CN=${layout.name}-ca`, '-keyout', join(dir, 'ca.key'), '-out', join(dir, 'ca.crt')],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign,digitalSignature'],
  ]);
  const { apiServer, kubernetesService } = layout.addresses;
  const names = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ];
  const alternatives = [
    ...['localhost', ...names].map((name) => `DNS:${name}`),
    ...['127.0.0.1', apiServer, kubernetesService].map((ip) => `IP:${ip}`),
  ];
  await Promise.all([
    certificate(
      dir,
      'apiserver',
      '/CN=kube-apiserver',
      `extendedKeyUsage=serverAuth\nsubjectAltName=${alternatives.join(',')}\n`,
    ),
    certificate(
      dir,
      'kubelet-client',
      '/O=system:masters/CN=kube-apiserver-kubelet-client',
      'extendedKeyUsage=clientAuth\n',
    ),
    run('openssl', ['genrsa', '-out', join(dir, 'service-account.key'), '2048']),
  ]);
  const ca = await readFile(join(dir, 'ca.crt'));
  const lines: string[] = [];
  for (const [identity, { user, groups }] of Object.entries(IDENTITIES)) {
    const token = randomBytes(24).toString('base64url');
    const fullUser = identity === 'kubelet' ? `${user}:${layout.nodeName}` : user;
    lines.push(`${token},${fullUser},${identity},"${groups.join(',')}"`);
    const file = kubeconfigOf(layout, identity as Identity);
    await writeFile(file, kubeconfig(layout, ca, fullUser, token), { mode: 0o600 });
  }
  await writeFile(join(dir, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 });
}
