// What `helm test` runs: writes a file into a claim, has the operator back the claim up, and checks the archive.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const { KM_TEST_NAMESPACE: namespace, KM_TEST_SCHEDULE: scheduleName } = process.env;
const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
const address = host.includes(':') ? `[${host}]` : host;
const url = `https://${address}:${port}/apis/km.duskmantle.io/v1alpha1/namespaces/${namespace}/kmbackups`;
const token = readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8');
const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };

async function ask(path, options = {}) {
  const response = await fetch(url + path, { headers, ...options });
  const body = await response.json();
  if (!response.ok) throw new Error(body.message ?? `the API server answered ${response.status}`);
  return body;
}

writeFileSync('/data/hello', 'helm test\n');
const backup = {
  apiVersion: 'km.duskmantle.io/v1alpha1',
  kind: 'KmBackup',
  metadata: { generateName: `${scheduleName}-` },
  spec: { scheduleName },
};
const { metadata } = await ask('', { method: 'POST', body: JSON.stringify(backup) });
console.log(`KmBackup ${metadata.name} created in ${namespace}`);
let said = '';
// The pod's activeDeadlineSeconds ends this.
for (;;) {
  const { status = {} } = await ask(`/${metadata.name}`);
  const line = `${status.phase ?? 'waiting for the operator'}: ${status.message ?? ''}`;
  if (line !== said) console.log(line);
  said = line;
  if (status.phase === 'Succeeded') {
    const { name, sizeBytes, claimName, path = '' } = status.archive;
    console.log(`archive ${name}, ${sizeBytes} bytes, in ${claimName}/${path}`);
    if (!existsSync(`/data/${path}/${name}`)) throw new Error('the archive is not where its status says');
    break;
  }
  if (['Failed', 'Incomplete', 'Skipped'].includes(status.phase)) process.exitCode = 1;
  if (process.exitCode) break;
  await sleep(1000);
}
// The record of a run outlives its schedule.
await ask(`/${metadata.name}`, { method: 'DELETE' });
