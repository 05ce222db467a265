/**
 * `npm run quickstart`: a cluster, the operator, an application with state, its backups, proof that an archive equals
 * its source, and a restore. Unattended and safe to repeat. Leaves the cluster running.
 */
import { dirname } from 'node:path';
import { buildImage } from '../test/cluster/image.ts';
import { type Cluster, clusterUp } from '../test/cluster/index.ts';
import { installChart, loadOperatorImage, OPERATOR } from '../test/support/install.ts';
import { eventually, type Kubectl, type KubeObject } from '../test/support/kubectl.ts';
import { forwardOperatorHttp } from '../test/support/operator-http.ts';
import { isFinished } from '../test/support/resources.ts';
import { claim, mountOf, nodeIn, toolbox, treeListing } from '../test/support/volume.ts';
import { commandLine } from './command-line.ts';
import { presenter, seconds } from './presenter.ts';
import { DEMO, damage, demoApplication, demoRestore, demoSchedule, documents } from './quickstart-demo.ts';

commandLine({}, () => {});
const show = presenter(process.stdout);
const state = mountOf(DEMO.claim);
const archives = `${state}/${DEMO.archives}`;

async function start(): Promise<{ cluster: Cluster; kubectl: Kubectl; image: string; operator: Kubectl }> {
  // Meanwhile: making its base waits for the network and the disk. The step below shows what becomes of it.
  buildImage().catch(() => {});
  show.heading('A Kubernetes cluster');
  const cluster = await show.task('cluster "km" (the first time builds Kubernetes from source)', (update) =>
    clusterUp({ name: 'km', log: update }),
  );
  show.heading('The operator');
  const image = await show.task('image from this checkout', (update) => loadOperatorImage(cluster, update));
  const programs = {
    kubectl: cluster.programs.kubectl,
    helm: (args: readonly string[]) => cluster.helm(args),
  };
  const operator = await show.task(
    'helm upgrade --install km-backup-operator charts/km-backup-operator',
    () => installChart(programs, cluster.kubeconfigPath, image),
  );
  return { cluster, kubectl: operator.in(DEMO.namespace), image, operator };
}

async function application(kubectl: Kubectl, image: string): Promise<void> {
  show.heading('An application with state');
  await show.task(`namespace ${DEMO.namespace}, which enforces Pod Security "restricted"`, async () => {
    await kubectl.run(['delete', 'namespace', DEMO.namespace, '--ignore-not-found', '--timeout=120s']);
    await kubectl.apply([
      {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: DEMO.namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
      },
    ]);
  });
  await show.task(
    `${DEMO.documents} documents and an SQLite database that is written all the time`,
    async () => {
      await kubectl.apply([
        claim(DEMO.claim),
        toolbox('toolbox', image, [DEMO.claim]),
        demoApplication(image),
      ]);
      await kubectl.run(['wait', 'pod/toolbox', '--for=condition=Ready', '--timeout=180s']);
      await nodeIn(kubectl, 'toolbox', documents(state));
      await kubectl.run(['rollout', 'status', `deployment/${DEMO.application}`, '--timeout=180s']);
    },
  );
}

function describe(backup: KubeObject | undefined): string {
  if (!backup) return 'no run yet';
  const { phase = 'Pending', message = '' } = backup.status ?? {};
  return `${backup.metadata.name}: ${phase}${isFinished(backup) ? '' : ` ${message}`}`;
}

async function finished(
  kubectl: Kubectl,
  label: string,
  ask: () => Promise<KubeObject | undefined>,
): Promise<KubeObject> {
  const backup = await show.task(label, (update) =>
    eventually<KubeObject | undefined>(
      async () => {
        const found = await ask();
        update(describe(found));
        return found;
      },
      (found) => found !== undefined && isFinished(found),
      describe,
      300_000,
    ),
  );
  const { phase, message } = backup!.status;
  show.say(`  ${message}`);
  if (phase === 'Failed' || phase === 'Skipped') {
    throw new Error(`${backup!.metadata.name} ended as ${phase}. See: ${kubectlHint(kubectl)} describe kmb`);
  }
  return backup!;
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

const kubectlHint = (kubectl: Kubectl) =>
  `kubectl --kubeconfig ${kubectl.kubeconfig} -n ${kubectl.namespace}`;

async function runNow(kubectl: Kubectl, label: string): Promise<KubeObject> {
  const { metadata } = await kubectl.create({
    apiVersion: 'km.duskmantle.io/v1alpha1',
    kind: 'KmBackup',
    metadata: { generateName: `${DEMO.schedule}-now-` },
    spec: { scheduleName: DEMO.schedule },
  });
  return finished(kubectl, label, () => kubectl.get('kmb', metadata.name));
}

async function backups(kubectl: Kubectl): Promise<void> {
  show.heading('A schedule: every minute, keep 3');
  await kubectl.apply(demoSchedule);
  show.command('kubectl apply -f - <<EOF', `${demoSchedule}EOF`);
  await runNow(kubectl, 'a first run by hand (kubectl create of a KmBackup)');
  await finished(kubectl, 'the run of the next full minute', async () =>
    (await kubectl.list('kmb')).find(({ spec }) => spec.scheduledTime !== undefined),
  );
  show.command('kubectl get kmbs,kmb', await kubectl.run(['get', 'kmbs,kmb']));
}

async function observability(operator: Kubectl): Promise<void> {
  show.heading('Metrics and health');
  const http = await forwardOperatorHttp(operator, OPERATOR.name);
  try {
    const mine = (await http.text('/metrics'))
      .split('\n')
      .filter((line) => line.startsWith('km_backup_') && line.includes(`namespace="${DEMO.namespace}"`));
    show.command('curl localhost:8080/metrics | grep km_backup_', mine.join('\n'));
    const health = await http.text(`/healthz?namespace=${DEMO.namespace}&schedule=${DEMO.schedule}`);
    show.command(
      `curl 'localhost:8080/healthz?namespace=${DEMO.namespace}&schedule=${DEMO.schedule}'`,
      JSON.stringify(JSON.parse(health), null, 2),
    );
  } finally {
    http.close();
  }
}

async function proof(kubectl: Kubectl): Promise<void> {
  show.heading('The proof: an archive equals its source');
  await show.task('the application stops writing, so that there is one state to compare with', async () => {
    await kubectl.run(['scale', `deployment/${DEMO.application}`, '--replicas=0']);
    await kubectl.run(['wait', 'pods', '-l', `app=${DEMO.application}`, '--for=delete', '--timeout=60s']);
    await kubectl.run(['patch', 'kmbs', DEMO.schedule, '--type=merge', '-p', '{"spec":{"suspend":true}}']);
  });
  const backup = await runNow(kubectl, 'a run of the quiet state');
  const { reusedBytes, sizeBytes } = backup.status.archive;
  show.say(
    `  Of its ${megabytes(sizeBytes)}, ${megabytes(reusedBytes)} had not changed since the archive before and were copied from it.`,
  );
  const archive = `${archives}/${backup.status.archive.name}`;
  const listing = await kubectl.exec('toolbox', ['tar', '-tvzf', archive]);
  const lines = listing.trimEnd().split('\n');
  show.command(
    `tar -tvzf ${backup.status.archive.name}`,
    [...lines.slice(0, 6), `… ${lines.length - 8} more …`, ...lines.slice(-2)].join('\n'),
  );
  const [source, restored] = await show.task(
    'tar -xzf in a pod, then the SHA-256 of every file on both sides',
    async () => {
      await kubectl.exec('toolbox', ['mkdir', '/tmp/restored']);
      await kubectl.exec('toolbox', ['tar', '-xzf', archive, '-C', '/tmp/restored']);
      return Promise.all([
        nodeIn(kubectl, 'toolbox', treeListing(state, DEMO.archives)),
        nodeIn(kubectl, 'toolbox', treeListing('/tmp/restored', DEMO.archives)),
      ]);
    },
  );
  if (source !== restored)
    throw new Error('the extracted archive differs from the source: please report this');
  const files = source.split('\n').filter((line) => line.startsWith('["file"')).length;
  show.say(`  Equal: ${files} files, every path, mode, link and SHA-256.`);
}

async function restore(kubectl: Kubectl, image: string): Promise<void> {
  show.heading('The restore: one kubectl apply');
  await kubectl.run(['scale', `deployment/${DEMO.application}`, '--replicas=1']);
  await kubectl.run(['rollout', 'status', `deployment/${DEMO.application}`, '--timeout=120s']);
  const before = await nodeIn(kubectl, 'toolbox', treeListing(`${state}/documents`, ''));
  await show.task('a file is overwritten, a folder is deleted', () =>
    nodeIn(kubectl, 'toolbox', damage(state)),
  );
  const file = `${state}/${DEMO.damagedFile}`;
  const head = () => kubectl.exec('toolbox', ['head', '-c', '12', file]);
  show.command(`head -c 12 ${DEMO.damagedFile}`, await head());
  // Whoever mounts the claim must be stoppable: a bare pod is not.
  await kubectl.run(['delete', 'pod', 'toolbox', '--wait=true']);
  await kubectl.apply(demoRestore);
  show.command('kubectl apply -f - <<EOF', `${demoRestore}EOF`);
  await show.task('stops the application, swaps, starts it again', (update) =>
    eventually<KubeObject>(
      async () => {
        const found = await kubectl.get('kmr', DEMO.restore);
        update(`${found.status?.phase ?? 'Pending'}: ${found.status?.message ?? ''}`);
        return found;
      },
      ({ status }) => ['Succeeded', 'RolledBack', 'Failed'].includes(status?.phase),
      (last) => `the restore: ${last?.status?.message}`,
      300_000,
    ),
  );
  show.command('kubectl get kmr', await kubectl.run(['get', 'kmr']));
  const { status } = await kubectl.get('kmr', DEMO.restore);
  if (status.phase !== 'Succeeded')
    throw new Error(`the restore ended as ${status.phase}: ${status.message}`);
  await kubectl.apply([toolbox('toolbox', image, [DEMO.claim])]);
  await kubectl.run(['wait', 'pod/toolbox', '--for=condition=Ready', '--timeout=180s']);
  show.command(`head -c 12 ${DEMO.damagedFile}`, await head());
  const after = await nodeIn(kubectl, 'toolbox', treeListing(`${state}/documents`, ''));
  if (after !== before) throw new Error('the restored files differ from those before: please report this');
  show.say(`  Equal again: ${after.split('\n').length} entries. To go back to before:`);
  show.say(`  kubectl annotate kmr ${DEMO.restore} km.duskmantle.io/old-state=rollback`);
}

function goOn(cluster: Cluster): void {
  const paths = [...new Set([cluster.programs.kubectl, cluster.programs.helm].map(dirname))].join(':');
  show.heading('Go on');
  show.say(`
  export KUBECONFIG=${cluster.kubeconfigPath}
  export PATH=${paths}:$PATH
  kubectl get kmbs,kmb,kmr -A                # schedules, runs and restores
  kubectl -n ${DEMO.namespace} describe kmbs ${DEMO.schedule}     # status, conditions, Events
  kubectl -n ${DEMO.namespace} create -f - <<< '{"apiVersion":"km.duskmantle.io/v1alpha1","kind":"KmBackup","metadata":{"generateName":"now-"},"spec":{"scheduleName":"${DEMO.schedule}"}}'
  ls deploy/examples                         # more schedules, and a restore
  docs/operations.md                         # day-to-day operation

  npm run cluster:down                       # ends the cluster and removes all it left

Done in ${seconds(show.elapsed() * 1000)}.`);
}

try {
  const { cluster, kubectl, image, operator } = await start();
  await application(kubectl, image);
  await backups(kubectl);
  await observability(operator);
  await proof(kubectl);
  await restore(kubectl, image);
  goOn(cluster);
} catch (error) {
  process.stderr.write(`\nquickstart failed: ${error instanceof Error ? error.message : error}\n`);
  process.stderr.write(
    `Logs of the cluster: npm run cluster:status. Start over: npm run cluster:down && npm run quickstart\n`,
  );
  process.exitCode = 1;
}
