/** What is in the image, how large it is, that its programs run, and that two builds of it are the same. */
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildImage } from '../cluster/image.ts';
import { run } from '../cluster/process.ts';
import { elapsedLog } from '../cluster/progress.ts';

/** node:26-slim is about 230 MB. */
const LIMIT_BYTES = 140_000_000;
const log = elapsedLog(process.stderr);

interface Image {
  /** Digest of the configuration, which names those of the layers. */
  readonly id: string;
  readonly layers: readonly string[];
}

let work: string;
let rootfs: string;
let image: Image;
let files: readonly string[];

/** Unpacks a docker-archive: its description, and with `to` the files of all layers. */
async function unpack(archive: string, to?: string): Promise<Image> {
  const dir = await mkdtemp(join(work, 'archive-'));
  await run('tar', ['-xf', archive, '-C', dir]);
  const [{ Config, Layers }] = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8'));
  if (to !== undefined) {
    await mkdir(to);
    for (const layer of Layers) await run('tar', ['-xpf', join(dir, layer), '-C', to]);
  }
  await rm(dir, { recursive: true });
  return { id: Config, layers: Layers };
}

/** As the Jobs do: without root, and with nothing but what the image holds. */
const inImage = async (...command: string[]): Promise<string> => {
  const script = 'mount --rbind /proc "$0/proc" && exec chroot --userspec=65532:65532 "$0" "$@"';
  const env = {
    PATH: '/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    NODE_ENV: 'production',
    NODE_EXTRA_CA_CERTS: '',
  };
  const arguments_ = ['--mount', '/bin/sh', '-c', script, rootfs, ...command];
  return (await run('/usr/bin/unshare', arguments_, { env })).stdout;
};

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'km-image-test-'));
  rootfs = join(work, 'rootfs');
  const { tarball } = await buildImage({ log });
  image = await unpack(tarball, rootfs);
  await mkdir(join(rootfs, 'proc'));
  files = (await readdir(rootfs, { recursive: true })).map((file) => `/${file}`);
});

afterAll(() => rm(work, { recursive: true, force: true }));

describe('the image', () => {
  it('is smaller than a slim image of Node.js', async () => {
    const { stdout } = await run('du', ['--summarize', '--bytes', rootfs]);
    expect(Number.parseInt(stdout, 10)).toBeLessThan(LIMIT_BYTES);
  });

  it('holds no package manager, and no program of the network', () => {
    const programs = files
      .filter((file) => /^\/(usr\/(local\/)?s?bin|app\/bin)\//.test(file))
      .map((file) => file.split('/').at(-1)!);
    expect(programs).toContain('sh');
    const unwanted =
      /^(apt.*|dpkg.*|rpm.*|npm|npx|yarn|corepack|pip.*|perl.*|bash|wget|nc|telnet|ftp.*|su|mount)$/;
    expect(programs.filter((name) => unwanted.test(name))).toEqual([]);
    expect(files.filter((file) => /\/(npm|corepack)\//.test(file))).toEqual([]);
  });

  it('holds nothing that makes its caller another user', async () => {
    const { stdout } = await run('find', [rootfs, '-type', 'f', '-perm', '/6000']);
    expect(stdout).toBe('');
  });

  it('lists its Debian packages for scanners, each with its license', async () => {
    const listed = await readdir(join(rootfs, 'var/lib/dpkg/status.d'));
    expect(listed).toContain('libc6');
    for (const name of listed) {
      const status = await readFile(join(rootfs, 'var/lib/dpkg/status.d', name), 'utf8');
      expect(status).toMatch(/^Package: .+\n(.+\n)*Version: .+/);
      expect(files).toContain(`/usr/share/doc/${name}/copyright`);
    }
  });

  it.each(['km-backup', 'km-backup-operator', 'kubectl-km'])('%s answers', async (program) => {
    expect(await inImage(`/app/bin/${program}`, '--help')).toMatch(/^Usage: /);
  });

  it('packs with libdeflate, and restores', async () => {
    const script = [
      'mkdir -p /tmp/source /tmp/target && seq 9999 >/tmp/source/numbers',
      '/app/bin/km-backup create --source /tmp/source --destination /tmp/archives',
      'km-backup restore "$(ls /tmp/archives/*.tgz)" /tmp/target/data',
      'cmp /tmp/source/numbers /tmp/target/data/numbers && echo same',
    ].join(' && ');
    expect(await inImage('/bin/sh', '-c', script)).toContain('same');
    const load = `require('/app/node_modules/koffi').load('libdeflate.so.0'); console.log('loaded')`;
    expect(await inImage('/app/bin/node', '-e', load)).toContain('loaded');
  });

  it('finds the OpenSSL that Node.js brings, which stripping must leave', async () => {
    const load = `console.log(require('/app/node_modules/koffi').load(null).func('void* EVP_sha256()')() !== null)`;
    expect(await inImage('/app/bin/node', '-e', load)).toContain('true');
  });

  it('runs a script of sh and one of Node.js', async () => {
    expect(await inImage('/usr/bin/env', 'sh', '-c', 'sleep 0; date +%Y | grep -c 2')).toBe('1\n');
    expect(await inImage('/usr/bin/env', 'node', '-p', '1 + 1')).toBe('2\n');
  });

  it('knows its own user, and time zones', async () => {
    expect((await inImage('/usr/bin/id', '-un')).trim()).toBe('km-backup');
    const zone = `new Date(0).toLocaleTimeString('en', { timeZone: 'Europe/Berlin', hour12: false })`;
    expect((await inImage('/app/bin/node', '-p', zone)).trim()).toBe('01:00:00');
  });

  it('is the same when it is built again from nothing', async () => {
    const { tarball } = await buildImage({ log, tag: 'localhost/km-backup-operator:again', fresh: true });
    expect(await unpack(tarball)).toEqual(image);
    await rm(tarball);
    await rm(`${tarball}.key`);
  });
});
