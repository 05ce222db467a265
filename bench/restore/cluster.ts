/**
 * Restores a claim that a Deployment uses, on a real cluster: one KmRestore, and the playbook's steps by kubectl. Both
 * take turns with a backup and damage of their own, because a restore changes inodes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterDown, clusterOpen, clusterUp, type Log } from '../../test/cluster/index.ts';
import { run } from '../../test/cluster/process.ts';
import { application } from '../../test/support/application.ts';
import { installChart, loadOperatorImage } from '../../test/support/install.ts';
import { Kubectl } from '../../test/support/kubectl.ts';
import { kmRestore, runNow, schedule } from '../../test/support/resources.ts';
import { claim, JOB_USER } from '../../test/support/volume.ts';
import type { Tree } from '../archive/trees.ts';
import { machineCpuSeconds, median } from '../measure.ts';
import { BY_KUBECTL, type ClusterRow, KM_RESTORE } from './report.ts';

/** If it runs already, it is used and left running. */
const CLUSTER = 'km-bench-restore';
const NAMESPACE = 'bench-restore';
const DAMAGE = 'changed by the bench';
/** A backup reads files again that changed this shortly before it: see docs/archive-format.md. */
const TICK_MS = 2_100;
const STAGING = '/data/.staging';

interface Scene {
  readonly kubectl: Kubectl;
  readonly image: string;
}

interface Contender {
  readonly name: string;
  /** A script of bash, and what it reads. */
  readonly restore: (archive: string, scene: Scene) => { readonly script: string; readonly manifest: object };
  /** Removes what a turn left. */
  readonly tidy: (kubectl: Kubectl) => Promise<void>;
}

const CONTENDERS: readonly Contender[] = [
  {
    name: BY_KUBECTL,
    restore: (archive, { image }) => ({
      script: `
        kubectl scale deployment/app --replicas=0
        kubectl wait pod -l app=app --for=delete --timeout=180s
        kubectl apply -f -
        kubectl wait job/playbook --for=condition=Complete --timeout=400s
        kubectl scale deployment/app --replicas=1
        kubectl rollout status deployment/app --timeout=180s`,
      manifest: playbookJob(archive, image),
    }),
    tidy: async (kubectl) => void (await kubectl.run(['delete', 'job/playbook', '--cascade=foreground'])),
  },
  {
    name: KM_RESTORE,
    restore: () => ({
      script: `
        kubectl apply -f -
        kubectl wait kmr/back --for=condition=Succeeded --timeout=400s
        kubectl rollout status deployment/app --timeout=180s`,
      manifest: kmRestore('back', {
        source: { scheduleName: 'app' },
        target: { persistentVolumeClaim: { claimName: 'data' } },
        quiesce: { auto: true },
      }),
    }),
    tidy: async (kubectl) => {
      await kubectl.run(['annotate', 'kmr/back', 'km.duskmantle.io/old-state=commit']);
      await kubectl.until('kmr', 'back', ({ status }) => status.oldState === undefined);
      await kubectl.run(['delete', 'kmr/back', '--cascade=foreground']);
    },
  },
];

/** Copies the archive, extracts it beside the live files, and puts them in place: a mount point cannot be renamed. */
function playbookJob(archive: string, image: string): object {
  const steps = `set -eu
    cp /archives/${archive} /work/copy.tgz
    mkdir ${STAGING}
    tar -xzf /work/copy.tgz -C ${STAGING}
    find /data -mindepth 1 -maxdepth 1 ! -path ${STAGING} -exec rm -rf {} +
    find ${STAGING} -mindepth 1 -maxdepth 1 -exec mv {} /data/ \\;
    rmdir ${STAGING}
    sync`;
  const claims = { data: '/data', archives: '/archives' };
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'playbook' },
    spec: {
      backoffLimit: 0,
      template: {
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          securityContext: JOB_USER,
          containers: [
            {
              name: 'playbook',
              image,
              command: ['sh', '-c', steps],
              securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
              volumeMounts: [
                ...Object.entries(claims).map(([name, mountPath]) => ({ name, mountPath })),
                { name: 'work', mountPath: '/work' },
              ],
            },
          ],
          volumes: [
            ...Object.keys(claims).map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
            { name: 'work', emptyDir: {} },
          ],
        },
      },
    },
  };
}

const asShell = ({ kubectl }: Scene, script: string, input?: string) =>
  run(
    'bash',
    ['-euo', 'pipefail', '-c', `kubectl() { "$KUBECTL" --namespace ${NAMESPACE} "$@"; }\n${script}`],
    {
      env: { KUBECTL: kubectl.program, KUBECONFIG: kubectl.kubeconfig },
      ...(input === undefined ? {} : { input }),
    },
  );

/** Runs a program of Node.js in the application's pod, with the sorted paths of its files in `files`. */
function inApp({ kubectl }: Scene, program: string): Promise<string> {
  const list = `import fs from 'node:fs';
    const files = fs.readdirSync('/data', { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('.km-restore'))
      .map((entry) => entry.parentPath + '/' + entry.name).sort();`;
  return kubectl.run(
    ['exec', '-i', 'deployment/app', '--', 'node', '--input-type=module', '-'],
    `${list}\n${program}`,
  );
}

const damage = (scene: Scene, share: number) =>
  inApp(
    scene,
    `for (let at = 0; at < files.length; at += ${Math.round(1 / share)}) {
      const fd = fs.openSync(files[at], 'r+'); fs.writeSync(fd, ${JSON.stringify(DAMAGE)}, 0); fs.closeSync(fd);
    }`,
  );

async function mustBeWhole(scene: Scene, tree: Tree, program: string): Promise<void> {
  const counts = await inApp(
    scene,
    `console.log(JSON.stringify({ files: files.length, damaged: files.filter((file) => fs.readFileSync(file, 'latin1').startsWith(${JSON.stringify(DAMAGE)})).length }));`,
  );
  const { files, damaged } = JSON.parse(counts) as { files: number; damaged: number };
  if (files !== tree.files || damaged > 0) {
    throw new Error(
      `${program} restored ${files} of ${tree.files} files, and ${damaged} of them are still damaged`,
    );
  }
}

async function build(tree: Tree, scene: Scene): Promise<void> {
  const { kubectl, image } = scene;
  const name = NAMESPACE;
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  await kubectl.run(['delete', 'namespace', name, '--ignore-not-found', '--timeout=180s']);
  await kubectl.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }]);
  const volume = (claimName: string) => ({ persistentVolumeClaim: { claimName } });
  await kubectl.apply([
    claim('data'),
    claim('archives'),
    application('app', image, 'data'),
    schedule('app', {
      suspend: true,
      source: volume('data'),
      destination: volume('archives'),
      retention: { limit: 2 },
    }),
  ]);
  await kubectl.run(['rollout', 'status', 'deployment/app', '--timeout=180s']);
  await asShell(scene, `tar -c -C '${tree.path}' . | kubectl exec -i deployment/app -- tar -x -o -C /data`);
}

async function turn(
  by: Contender,
  tree: Tree,
  share: number,
  scene: Scene,
): Promise<{ readonly seconds: number; readonly cpuSeconds: number }> {
  await sleep(TICK_MS);
  const { phase, message, archive } = (await runNow(scene.kubectl, 'app')).status;
  if (phase !== 'Succeeded') throw new Error(`the backup ended as ${phase}: ${message}`);
  await damage(scene, share);
  // Both find everything on disk, and in the page cache.
  await asShell(scene, "kubectl exec deployment/app -- sh -c 'sync; tar -c /data | cat > /dev/null'");
  const { script, manifest } = by.restore([archive.path, archive.name].filter(Boolean).join('/'), scene);
  const [started, cpu] = [performance.now(), machineCpuSeconds()];
  await asShell(scene, script, JSON.stringify(manifest));
  const measured = {
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: machineCpuSeconds() - cpu,
  };
  await mustBeWhole(scene, tree, by.name);
  await by.tidy(scene.kubectl);
  return measured;
}

export interface ClusterSizes {
  readonly quick: boolean;
  readonly repetitions: number;
  readonly share: number;
}

export async function compareOnCluster(
  trees: Iterable<Tree>,
  { quick, repetitions, share }: ClusterSizes,
  log: Log,
): Promise<ClusterRow[]> {
  const running = await clusterOpen({ name: CLUSTER, log });
  const cluster = running ?? (await clusterUp({ name: CLUSTER, log }));
  try {
    const image = await loadOperatorImage(cluster, log);
    const { kubeconfigPath, programs } = cluster;
    await installChart(
      { kubectl: programs.kubectl, helm: (args) => cluster.helm(args) },
      kubeconfigPath,
      image,
    );
    const scene = { kubectl: new Kubectl(programs.kubectl, kubeconfigPath, NAMESPACE), image };
    const rows: ClusterRow[] = [];
    for (const tree of trees) {
      using built = tree;
      await build(built, scene);
      const runs = CONTENDERS.map((by) => ({ by, figures: [] as Awaited<ReturnType<typeof turn>>[] }));
      for (let count = 0; count < repetitions; count++) {
        for (const { by, figures } of runs) {
          const figure = await turn(by, built, share, scene);
          log(`${by.name}: ${figure.seconds.toFixed(2)} s, ${figure.cpuSeconds.toFixed(2)} s of CPU`);
          figures.push(figure);
        }
      }
      for (const { by, figures } of runs) {
        rows.push({
          tree: built.name,
          quick,
          files: built.files,
          bytes: built.bytes,
          program: by.name,
          at: new Date().toISOString(),
          repetitions,
          seconds: median(figures.map(({ seconds }) => seconds)),
          cpuSeconds: median(figures.map(({ cpuSeconds }) => cpuSeconds)),
        });
      }
    }
    return rows;
  } finally {
    if (!running) await clusterDown({ name: CLUSTER, log });
  }
}
