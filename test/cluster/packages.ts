import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { withLock } from './cache.ts';
import { cacheRoot } from './layout.ts';
import { run } from './process.ts';
import { type Log, step } from './progress.ts';

/** Debian package -> a file that it installs. */
const CLUSTER = {
  openssl: ['/usr/bin/openssl'],
  unzip: ['/usr/bin/unzip'],
} as const;

const NODE = {
  ...CLUSTER,
  containerd: ['/usr/bin/containerd'],
  runc: ['/usr/sbin/runc', '/usr/bin/runc'],
  'containernetworking-plugins': ['/usr/lib/cni/bridge'],
  iptables: ['/usr/sbin/iptables'],
  conntrack: ['/usr/sbin/conntrack'],
  iproute2: ['/usr/sbin/ip', '/usr/bin/ip', '/sbin/ip'],
  'busybox-static': ['/bin/busybox', '/usr/bin/busybox'],
  tini: ['/usr/bin/tini-static'],
} as const;

const IMAGE = {
  buildah: ['/usr/bin/buildah'],
  debootstrap: ['/usr/sbin/debootstrap'],
} as const;

/** What integration tests compare with, and mount. */
const INTEGRATION = {
  // libarchive shares no code with GNU tar.
  'libarchive-tools': ['/usr/bin/bsdtar'],
  xfsprogs: ['/usr/sbin/mkfs.xfs', '/sbin/mkfs.xfs'],
  'btrfs-progs': ['/usr/bin/btrfs', '/bin/btrfs'],
  // What anybody restores an encrypted copy with.
  age: ['/usr/bin/age'],
  // Argo CD runs health scripts in Lua.
  'lua5.4': ['/usr/bin/lua5.4'],
  curl: ['/usr/bin/curl'],
  unzip: ['/usr/bin/unzip'],
  zstd: ['/usr/bin/zstd'],
  // What opens the status page.
  chromium: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
} as const;

const SETS = {
  'control-plane-only': CLUSTER,
  full: NODE,
  image: IMAGE,
  integration: INTEGRATION,
};

/** Installs the missing packages of a set. Needs no privileges if none is missing. */
export async function ensurePackages(set: keyof typeof SETS, log: Log): Promise<void> {
  const missing = Object.entries(SETS[set])
    .filter(([, files]) => !files.some((file: string) => existsSync(file)))
    .map(([name]) => name);
  if (missing.length === 0) return;
  if (!existsSync('/usr/bin/apt-get') || process.getuid?.() !== 0) {
    throw new Error(
      `missing programs: install ${missing.join(', ')} (Debian package names), or run as root on Debian or Ubuntu, where this tool installs them itself`,
    );
  }
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const lock = ['-o', 'DPkg::Lock::Timeout=300'];
  // apt does not wait for another one that updates its lists.
  const ours = join(cacheRoot(process.env, homedir()), 'locks', 'apt.lock');
  await withLock(ours, log, () =>
    step(log, `installing Debian packages ${missing.join(' ')}`, async () => {
      await run('apt-get', ['-q', ...lock, 'update'], { env });
      await run('apt-get', ['-q', '-y', ...lock, 'install', '--no-install-recommends', ...missing], { env });
    }),
  );
}
