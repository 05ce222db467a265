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
import { cached, withLock } from './cache.ts';
import { defaultCacheDir, dockerAnswers } from './index.ts';
import { writeOciArchive } from './oci.ts';
import { ensurePackages } from './packages.ts';
import { run } from './process.ts';
import { type Log, silent, step } from './progress.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BASE_KEY = 'base-bookworm-4';
const BASE_IMAGE = `localhost/km-cluster/${BASE_KEY}:latest`;

export interface ImageOptions {
  /** Default: `localhost/km-backup-operator:<version of package.json>`. */
  readonly tag?: string;
  readonly log?: Log;
  readonly cacheDir?: string;
}

export interface BuiltImage {
  readonly tag: string;
  /** A docker-archive, for `loadImage`. */
  readonly tarball: string;
}

/** An image archive of a small Debian root file system, made from packages. */
async function baseArchive(cacheDir: string, log: Log): Promise<string> {
  const dir = await cached(
    cacheDir,
    BASE_KEY,
    log,
    'making the Debian base of the image (half a minute, once)',
    async (out) => {
      const rootfs = join(out, 'rootfs');
      await run('debootstrap', ['--variant=minbase', '--include=libatomic1,libdeflate0', 'bookworm', rootfs]);
      const useless = [
        'var/cache/apt',
        'var/lib/apt/lists',
        'var/log',
        'usr/share/doc',
        'usr/share/man',
        'usr/share/locale',
        'usr/share/info',
      ];
      for (const path of useless) {
        await rm(join(rootfs, path), { recursive: true, force: true });
        await mkdir(join(rootfs, path), { recursive: true });
      }
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
      filter: async (path) =>
        (await stat(path)).isDirectory() || /\.(c?js|json|node)$|LICENSE/.test(basename(path)),
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

async function withBuildah(
  context: string,
  tag: string,
  archive: string,
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
  await buildah(
    // Failed builds would leave mounted working containers without --force-rm.
    ...['build', '--force-rm', '--isolation', 'chroot', '--layers', '--pull-never', '--format', 'docker'],
    ...[
      '--build-arg',
      `BASE_IMAGE=${BASE_IMAGE}`,
      '--tag',
      tag,
      '--file',
      join(context, 'Dockerfile'),
      context,
    ],
  );
  await buildah('push', '--quiet', tag, `docker-archive:${archive}:${tag}`);
  // Removes the image that had the tag before; layers still in use stay.
  await buildah('rmi', '--prune').catch(() => {});
}

async function withDocker(context: string, tag: string, archive: string): Promise<void> {
  await run('docker', ['build', '--quiet', '--tag', tag, context]);
  await run('docker', ['save', '--output', archive, tag]);
}

/** Builds the image from the current checkout, or returns the last archive if nothing changed. */
export async function buildImage(options: ImageOptions = {}): Promise<BuiltImage> {
  const { log = silent, cacheDir = defaultCacheDir() } = options;
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const tag = options.tag ?? `localhost/km-backup-operator:${version}`;
  const folder = join(cacheDir, 'images');
  const tarball = join(folder, `${tag.replace(/[^A-Za-z0-9.-]+/g, '_')}.tar`);
  await mkdir(folder, { recursive: true });
  return withLock(join(cacheDir, 'locks', 'image.lock'), log, async () => {
    const context = await mkdtemp(join(tmpdir(), 'km-image-'));
    try {
      await bundle(join(context, 'dist'));
      await cp(join(ROOT, 'bin'), join(context, 'bin'), { recursive: true });
      await cp(join(ROOT, 'docs'), join(context, 'docs'), {
        recursive: true,
        filter: (file) => !basename(file).includes('.') || file.endsWith('.md'),
      });
      await copyExternalPackages(join(context, 'node_modules'));
      for (const file of ['package.json', 'LICENSE', 'Dockerfile'])
        await copyFile(join(ROOT, file), join(context, file));
      const node = await realpath(join(ROOT, 'node_modules', 'node', 'bin', 'node'));
      const nodeVersion = (await run(node, ['--version'])).stdout.trim();
      const key = [tag, nodeVersion, BASE_KEY, await digestOf(context)].join('\n');
      if (existsSync(tarball) && (await readFile(`${tarball}.key`, 'utf8').catch(() => '')) === key) {
        return { tag, tarball };
      }
      await step(log, `building ${tag}`, async () => {
        await copyFile(node, join(context, 'node'));
        const partial = `${tarball}.partial`;
        await rm(partial, { force: true });
        await ((await dockerAnswers())
          ? withDocker(context, tag, partial)
          : withBuildah(context, tag, partial, cacheDir, log));
        await rename(partial, tarball);
        await writeFile(`${tarball}.key`, key);
      });
      return { tag, tarball };
    } finally {
      await rm(context, { recursive: true, force: true });
    }
  });
}
