import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cached } from './cache.ts';
import { run } from './process.ts';
import type { Log } from './progress.ts';

/** The sandbox container of every pod. */
export const PAUSE_IMAGE = 'localhost/km-cluster/pause:1';
/** A shell with the usual small tools, for helper pods and tests. */
export const BUSYBOX_IMAGE = 'localhost/km-cluster/busybox:1';

const HELPER_KEY = 'helper-images-2';

const platform = () => ({ os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch });

/** Packs `rootfs` as the only layer of an image archive (OCI image layout 1.0). */
export async function writeOciArchive(
  rootfs: string,
  name: string,
  config: object,
  out: string,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'km-oci-'));
  try {
    const blobs = join(work, 'blobs', 'sha256');
    await mkdir(blobs, { recursive: true });
    const layerFile = join(work, 'layer.tar');
    const normal = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];
    await run('tar', ['-cf', layerFile, '-C', rootfs, ...normal, '.']);
    const blob = async (bytes: Buffer) => {
      const digest = createHash('sha256').update(bytes).digest('hex');
      await writeFile(join(blobs, digest), bytes);
      return { digest: `sha256:${digest}`, size: bytes.length };
    };
    const layer = await blob(await readFile(layerFile));
    await rm(layerFile);
    const json = (value: unknown) => Buffer.from(JSON.stringify(value));
    const image = {
      ...platform(),
      config,
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      // buildah rejects a base image whose history does not name each layer.
      history: [{ created_by: 'test/cluster/oci.ts' }],
    };
    const type = (kind: string) => `application/vnd.oci.image.${kind}`;
    const manifest = await blob(
      json({
        schemaVersion: 2,
        mediaType: type('manifest.v1+json'),
        config: { mediaType: type('config.v1+json'), ...(await blob(json(image))) },
        layers: [{ mediaType: type('layer.v1.tar'), ...layer }],
      }),
    );
    const annotations = { 'io.containerd.image.name': name, 'org.opencontainers.image.ref.name': name };
    const index = {
      schemaVersion: 2,
      manifests: [{ mediaType: type('manifest.v1+json'), ...manifest, platform: platform(), annotations }],
    };
    await writeFile(join(work, 'index.json'), json(index));
    await writeFile(join(work, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
    await run('tar', ['-cf', `${out}.partial`, '-C', work, 'oci-layout', 'index.json', 'blobs']);
    await rename(`${out}.partial`, out);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function firstExisting(paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    if (await stat(path).catch(() => undefined)) return path;
  }
  throw new Error(`none of ${paths.join(', ')} exists`);
}

/** Archives of the pause and busybox images, from the Debian packages tini and busybox-static. */
export async function helperImages(cacheDir: string, log: Log): Promise<readonly string[]> {
  const dir = await cached(cacheDir, HELPER_KEY, log, 'making the pause and busybox images', async (out) => {
    const rootfs = join(out, 'rootfs');
    for (const folder of ['bin', 'tmp', 'etc']) await mkdir(join(rootfs, folder), { recursive: true });
    await chmod(join(rootfs, 'tmp'), 0o1777);
    const busybox = await firstExisting(['/bin/busybox', '/usr/bin/busybox']);
    await copyFile(busybox, join(rootfs, 'bin/busybox'));
    await copyFile('/usr/bin/tini-static', join(rootfs, 'bin/tini'));
    for (const file of ['busybox', 'tini']) await chmod(join(rootfs, 'bin', file), 0o755);
    const applets = (await run(busybox, ['--list'])).stdout.trim().split('\n');
    for (const applet of applets) {
      if (applet !== 'busybox') await symlink('busybox', join(rootfs, 'bin', applet));
    }
    await writeFile(
      join(rootfs, 'etc/passwd'),
      'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n',
    );
    const Env = ['PATH=/bin'];
    const pause = { Env, Entrypoint: ['/bin/tini', '--', '/bin/sleep', '2147483647'], User: '65534:65534' };
    await writeOciArchive(rootfs, PAUSE_IMAGE, pause, join(out, 'pause.tar'));
    await writeOciArchive(rootfs, BUSYBOX_IMAGE, { Env, Cmd: ['sh'] }, join(out, 'busybox.tar'));
    await rm(rootfs, { recursive: true });
  });
  return [join(dir, 'pause.tar'), join(dir, 'busybox.tar')];
}
