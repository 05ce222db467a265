/**
 * The Prometheus Operator and the Prometheus that it deploys, built from the Go module proxy: Debian's Prometheus is built
 * without the discovery of Kubernetes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, copyFile, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { cached } from '../cluster/cache.ts';
import { GO_ENV, GO_FLAGS } from '../cluster/go.ts';
import { cacheRoot } from '../cluster/layout.ts';
import { writeOciArchive } from '../cluster/oci.ts';
import { run } from '../cluster/process.ts';
import { elapsedLog } from '../cluster/progress.ts';

const SOURCES = join(import.meta.dirname, '../cluster');
const MODULE = 'github.com/prometheus-operator/prometheus-operator';
const RELOADER = 'prometheus-config-reloader';

const PROMETHEUS = 'github.com/prometheus/prometheus';
const PLUGINS = `package plugins

import _ "${PROMETHEUS}/discovery/kubernetes"
`;

/** Of the module v0.305.0. The Prometheus Operator chooses flags by it. */
export const PROMETHEUS_VERSION = '3.5.0';

export interface Images {
  readonly prometheus: string;
  readonly reloader: string;
}
/** Made here, for a cluster of ours. */
export const LOCAL_IMAGES: Images = {
  prometheus: `localhost/km-cluster/prometheus:${PROMETHEUS_VERSION}`,
  reloader: 'localhost/km-cluster/prometheus-config-reloader:1',
};
/** For a cluster that can pull. */
export const PUBLIC_IMAGES: Images = {
  prometheus: `quay.io/prometheus/prometheus:v${PROMETHEUS_VERSION}`,
  reloader: 'quay.io/prometheus-operator/prometheus-config-reloader:v0.85.0',
};

export interface PrometheusOperator {
  readonly program: string;
  /** CustomResourceDefinitions of this version. */
  readonly crds: readonly string[];
  /** Image archives of LOCAL_IMAGES. */
  readonly archives: readonly string[];
}

async function writeImages(out: string): Promise<void> {
  const rootfs = join(out, 'rootfs');
  for (const folder of ['bin', 'tmp', 'etc/prometheus'])
    await mkdir(join(rootfs, folder), { recursive: true });
  await chmod(join(rootfs, 'tmp'), 0o1777);
  for (const name of ['prometheus', RELOADER]) await rename(join(out, name), join(rootfs, 'bin', name));
  const images = [
    { name: LOCAL_IMAGES.prometheus, entrypoint: '/bin/prometheus', file: join(out, 'prometheus.tar') },
    { name: LOCAL_IMAGES.reloader, entrypoint: `/bin/${RELOADER}`, file: join(out, 'reloader.tar') },
  ];
  for (const { name, entrypoint, file } of images)
    await writeOciArchive(rootfs, name, { Entrypoint: [entrypoint], User: '65534:65534' }, file);
  await rm(rootfs, { recursive: true });
}

/** Builds programs of a Go module that a folder of test/cluster requires. @param prepare Changes the vendored sources. */
async function goBuild(
  folder: string,
  out: string,
  packages: readonly string[],
  prepare: (work: string) => Promise<void>,
): Promise<void> {
  const work = join(out, 'src');
  await mkdir(work);
  for (const file of ['go.mod', 'go.sum']) await copyFile(join(SOURCES, folder, file), join(work, file));
  await run('go', ['mod', 'vendor'], { cwd: work, env: GO_ENV });
  await prepare(work);
  const flags = [...GO_FLAGS, '-mod=vendor', '-ldflags', '-s -w'];
  await run('go', ['build', ...flags, '-o', `${out}/`, ...packages], { cwd: work, env: GO_ENV });
  await rm(work, { recursive: true });
}

/** `go mod vendor` copies packages only, so the definitions come from the module itself. */
async function copyDefinitions(work: string, to: string): Promise<void> {
  const { stdout } = await run('go', ['list', '-mod=mod', '-m', '-f', '{{.Dir}}', MODULE], { cwd: work });
  await cp(join(stdout.trim(), 'example/prometheus-operator-crd'), to, { recursive: true });
}

export async function ensurePrometheusOperator(): Promise<PrometheusOperator> {
  const key = createHash('sha256');
  for (const folder of ['prometheus', 'prometheus-operator'])
    for (const file of ['go.mod', 'go.sum']) key.update(await readFile(join(SOURCES, folder, file)));
  const dir = await cached(
    cacheRoot(process.env, homedir()),
    `prometheus-operator-${key.digest('hex').slice(0, 12)}`,
    elapsedLog(process.stderr),
    'building Prometheus and its operator from the Go module proxy (about 6 minutes on 2 cores, once)',
    async (out) => {
      const operator = [`${MODULE}/cmd/operator`, `${MODULE}/cmd/${RELOADER}`];
      await goBuild('prometheus-operator', out, operator, (work) => copyDefinitions(work, join(out, 'crds')));
      // The other kinds of service discovery are the SDKs of a dozen clouds: most of the time of the build.
      await goBuild('prometheus', out, [`${PROMETHEUS}/cmd/prometheus`], (work) =>
        writeFile(join(work, 'vendor', PROMETHEUS, 'plugins/plugins.go'), PLUGINS),
      );
      await writeImages(out);
    },
  );
  const crds = (await readdir(join(dir, 'crds'))).map((name) => join(dir, 'crds', name));
  const archives = ['prometheus.tar', 'reloader.tar'].map((name) => join(dir, name));
  return { program: join(dir, 'operator'), crds, archives };
}

/** The definitions alone, which take no build. */
export async function ensurePrometheusOperatorCrds(): Promise<readonly string[]> {
  const source = join(SOURCES, 'prometheus-operator');
  const key = createHash('sha256').update(await readFile(join(source, 'go.mod')));
  const dir = await cached(
    cacheRoot(process.env, homedir()),
    `prometheus-operator-crds-${key.digest('hex').slice(0, 12)}`,
    elapsedLog(process.stderr),
    'fetching the kinds of the Prometheus Operator from the Go module proxy',
    async (out) => {
      const work = join(out, 'src');
      await cp(source, work, { recursive: true });
      await run('go', ['mod', 'download', MODULE], { cwd: work, env: { GOWORK: 'off' } });
      await copyDefinitions(work, out);
      await rm(work, { recursive: true });
    },
  );
  return (await readdir(dir)).map((name) => join(dir, name));
}

/** Runs it outside the cluster, for some namespaces. */
export function startPrometheusOperator(
  program: string,
  images: Images,
  kubeconfig: string,
  namespaces: readonly string[],
): ChildProcess {
  return spawn(
    program,
    [
      `--namespaces=${namespaces.join(',')}`,
      `--prometheus-config-reloader=${images.reloader}`,
      '--web.listen-address=127.0.0.1:0',
      '--kubelet-endpoints=false',
      '--log-level=warn',
    ],
    { env: { ...process.env, KUBECONFIG: kubeconfig }, stdio: ['ignore', 'inherit', 'inherit'] },
  );
}
