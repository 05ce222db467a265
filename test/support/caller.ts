/** Somebody with few rights: a service account, and a kubeconfig for it. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import type { KubeClient } from '../../src/kube/client.ts';

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** @returns a kubeconfig, and what deletes it */
export async function callerWith(
  { client, namespace, kubeconfig }: { client: KubeClient; namespace: string; kubeconfig: string },
  rules: readonly Rule[],
  name = 'caller',
): Promise<{ file: string; remove: () => Promise<void> }> {
  const post = (where: string, body: object) =>
    client.request<{ status: { token: string } }>({ method: 'POST', path: where, body });
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
  await post(accounts, { metadata: { name } });
  await post(`${rbac}/roles`, { metadata: { name }, rules });
  await post(`${rbac}/rolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
    subjects: [{ kind: 'ServiceAccount', name, namespace }],
  });
  const { status } = await post(`${accounts}/${name}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  });
  const config = parse(await readFile(kubeconfig, 'utf8'));
  for (const user of config.users) user.user = { token: status.token };
  const directory = await mkdtemp(path.join(tmpdir(), 'km-caller-'));
  const file = path.join(directory, 'kubeconfig');
  await writeFile(file, stringify(config), { mode: 0o600 });
  return { file, remove: () => rm(directory, { recursive: true }) };
}
