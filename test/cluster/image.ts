import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { bundle, EXTERNAL_PACKAGES } from '../../scripts/build.ts';
import { normalise, SOURCE_DATE_EPOCH } from '../../scripts/reproducible.ts';
import { cached, withLock } from './cache.ts';
import { defaultCacheDir, dockerAnswers } from './index.ts';
import { writeOciArchive } from './oci.ts';
import { ensurePackages } from './packages.ts';
import { run } from './process.ts';
import { type Log, silent, step } from './progress.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BASE_KEY = 'base-bookworm-5';
const BASE_IMAGE = `localhost/km-cluster/${BASE_KEY}:latest`;
/** Keeps the layers of the first stage of Dockerfile, which change with Node.js only, from being pruned. */
const PARTS_IMAGE = 'localhost/km-cluster/image-parts:latest';
const BASE_PACKAGES = ['binutils', 'busybox-static', 'libatomic1', 'libdeflate0', 'libstdc++6'];

export interface ImageOptions {
  /** Default: `localhost/km-backup-operator:<version of package.json>`. */
  readonly tag?: string;
  /** Builds each layer, even if nothing changed. */
  readonly fresh?: boolean;
  readonly log?: Log;
  readonly cacheDir?: string;
}

export interface BuiltImage {
  readonly tag: string;
  /** A docker-archive, for `loadImage`. */
  readonly tarball: string;
}

/** An image archive of the Debian system that the first stage of Dockerfile takes its parts from. */
async function baseArchive(cacheDir: string, log: Log): Promise<string> {
  const dir = await cached(
    cacheDir,
    BASE_KEY,
    log,
    'making the Debian base of the image (half a minute, once)',
    async (out) => {
      const rootfs = join(out, 'rootfs');
      const include = `--include=${BASE_PACKAGES.join(',')}`;
      await run('debootstrap', ['--variant=minbase', include, 'bookworm', rootfs]);
      await rm(join(rootfs, 'var/cache/apt'), { recursive: true, force: true });
      await rm(join(rootfs, 'var/lib/apt/lists'), { recursive: true, force: true });
      await writeOciArchive(rootfs, BASE_IMAGE, {}, join(out, 'base.tar'));
      await rm(rootfs, { recursive: true });
    },
  );
  return join(dir, 'base.tar');
}

/** Copies the packages that a bundle leaves out, without their sources and documentation. */
async function copyExternalPackages(to: string): Promise<void> {
  const modules = join(ROOT, 'node_modules');
  const native = (await readdir(join(modules, '@koromix'))).map((name) => join('@koromix', name));
  for (const name of [...EXTERNAL_PACKAGES, ...native]) {
    await cp(join(modules, name), join(to, name), {
      recursive: true,
      // The image has glibc, not musl.
      filter: async (path) =>
        (await stat(path)).isDirectory()
          ? !/musl_[^/]*$/.test(path)
          : /\.(c?js|json|node)$|LICENSE/.test(basename(path)),
    });
  }
}

/** Digest over the names and contents of everything below the folder. */
async function digestOf(dir: string): Promise<string> {
  const hash = createHash('sha256');
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.sort())
    hash
      .update(file.slice(dir.length))
      .update('\0')
      .update(await readFile(file));
  return hash.digest('hex');
}

interface Build {
  readonly context: string;
  readonly tag: string;
  /** Where the docker-archive goes. */
  readonly archive: string;
  readonly fresh: boolean;
}

async function withBuildah(
  { context, tag, archive, fresh }: Build,
  cacheDir: string,
  log: Log,
): Promise<void> {
  await ensurePackages('image', log);
  const base = await baseArchive(cacheDir, log);
  // A separate store, so that the machine's own images stay as they are.
  const store = ['--root', join(cacheDir, 'buildah'), '--runroot', join(cacheDir, 'buildah-run')];
  const buildah = (...args: string[]) => run('buildah', [...store, ...args]);
  const known = await buildah('inspect', '--type', 'image', BASE_IMAGE).then(Boolean, () => false);
  if (!known) await buildah('pull', '--quiet', `oci-archive:${base}`);
  const build = (...flags: string[]) =>
    buildah(
      // Failed builds would leave mounted working containers without --force-rm.
      ...['build', '--force-rm', '--isolation', 'chroot', '--pull-never', '--format', 'oci'],
      // Names and ids of what was made on the way would differ each time.
      ...['--omit-history', '--identity-label=false'],
      ...['--timestamp', String(SOURCE_DATE_EPOCH), '--layers', ...(fresh ? ['--no-cache'] : [])],
      ...['--build-arg', `BASE_IMAGE=${BASE_IMAGE}`, '--build-arg', `SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}`],
      ...[...flags, '--file', join(context, 'Dockerfile'), context],
    );
  if (!fresh) await build('--target', 'parts', '--tag', PARTS_IMAGE);
  await build('--tag', tag);
  await buildah('push', '--quiet', tag, `docker-archive:${archive}:${tag}`);
  // Removes the image that had the tag before; layers still in use stay.
  await buildah('rmi', '--prune').catch(() => {});
}

async function withDocker({ context, tag, archive, fresh }: Build): Promise<void> {
  const flags = ['--build-arg', `SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}`, ...(fresh ? ['--no-cache'] : [])];
  await run('docker', ['build', '--quiet', ...flags, '--tag', tag, context]);
  await run('docker', ['save', '--output', archive, tag]);
}

/** Builds the image from the current checkout, or returns the last archive if nothing changed. */
export async function buildImage(options: ImageOptions = {}): Promise<BuiltImage> {
  const { log = silent, cacheDir = defaultCacheDir(), fresh = false } = options;
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const tag = options.tag ?? `localhost/km-backup-operator:${version}`;
  const folder = join(cacheDir, 'images');
  const tarball = join(folder, `${tag.replace(/[^A-Za-z0-9.-]+/g, '_')}.tar`);
  await mkdir(folder, { recursive: true });
  return withLock(join(cacheDir, 'locks', 'image.lock'), log, async () => {
    const context = await mkdtemp(join(tmpdir(), 'km-image-'));
    try {
      const app = join(context, 'app');
      await bundle(join(app, 'dist'));
      await cp(join(ROOT, 'bin'), join(app, 'bin'), { recursive: true });
      await cp(join(ROOT, 'docs'), join(app, 'docs'), {
        recursive: true,
        filter: (file) => !basename(file).includes('.') || file.endsWith('.md'),
      });
      await copyExternalPackages(join(app, 'node_modules'));
      for (const file of ['package.json', 'LICENSE']) await copyFile(join(ROOT, file), join(app, file));
      for (const file of ['Dockerfile', 'scripts/image-rootfs.sh'])
        await copyFile(join(ROOT, file), join(context, basename(file)));
      await normalise(context);
      const node = await realpath(join(ROOT, 'node_modules', 'node', 'bin', 'node'));
      const nodeVersion = (await run(node, ['--version'])).stdout.trim();
      const key = [tag, nodeVersion, BASE_KEY, String(SOURCE_DATE_EPOCH), await digestOf(context)].join('\n');
      if (
        !fresh &&
        existsSync(tarball) &&
        (await readFile(`${tarball}.key`, 'utf8').catch(() => '')) === key
      ) {
        return { tag, tarball };
      }
      await step(log, `building ${tag}`, async () => {
        await copyFile(node, join(context, 'node'));
        const partial = `${tarball}.partial`;
        await rm(partial, { force: true });
        const build = { context, tag, archive: partial, fresh };
        await ((await dockerAnswers()) ? withDocker(build) : withBuildah(build, cacheDir, log));
        await rename(partial, tarball);
        await writeFile(`${tarball}.key`, key);
      });
      return { tag, tarball };
    } finally {
      await rm(context, { recursive: true, force: true });
    }
  });
}
