import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commitRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { rawArchive, rawEntry } from '../support/raw-tar.ts';
import { describeTree } from '../support/tree.ts';

/* Needs root, for mounts. Volumes are file systems of their own, as a pod sees its claims. */

let base: string;
let mounted: string[];
const at = (...names: string[]) => path.join(base, ...names);
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-mount-'));
  mounted = [];
  fs.mkdirSync(at('volume'));
  fs.mkdirSync(at('source/dir'), { recursive: true });
  fs.writeFileSync(at('source/dir/new'), 'new');
  fs.writeFileSync(at('source/both'), 'new');
  fs.chmodSync(at('source'), 0o2770);
});
afterEach(() => {
  for (const point of mounted.reverse()) execFileSync('umount', [point]);
  fs.rmSync(base, { recursive: true, force: true });
});

function mountExt4(point: string, megabytes: number, ...mkfs: string[]): void {
  const image = at(`${path.basename(point)}.img`);
  fs.writeFileSync(image, '');
  fs.truncateSync(image, megabytes * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', ...mkfs, image]);
  execFileSync('mount', ['-o', 'loop', image, point]);
  mounted.push(point);
}

function pack(source = at('source')): string {
  const archive = at('km-backup-20260101T000000.tgz');
  execFileSync('tar', ['-czf', archive, '--format=posix', '-C', source, '.']);
  return archive;
}

const options = (archive: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: at('volume'),
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'keep',
  threads: 1,
  now: () => new Date(),
  ...more,
});
const mountOnly = (name: string) => name === '.km-restore' || name === 'lost+found';

describe.each(['a file system of its own', 'a bind mount'])('a target that is %s', (kind) => {
  beforeEach(() => {
    if (kind === 'a bind mount') {
      fs.mkdirSync(at('real'));
      execFileSync('mount', ['--bind', at('real'), at('volume')]);
      mounted.push(at('volume'));
    } else mountExt4(at('volume'), 32);
    fs.mkdirSync(at('volume/old-dir'));
    fs.writeFileSync(at('volume/both'), 'old');
    fs.mkdirSync(at('volume/backups/archives'), { recursive: true });
    fs.writeFileSync(at('volume/backups/archives/km-backup-20250101T000000.tgz'), 'an archive');
  });

  test('is swapped below its root, and back, its archives kept', async () => {
    const old = describeTree(at('volume'), mountOnly);
    const inode = fs.lstatSync(at('volume')).ino;
    const report = await restore(options(pack()));
    expect(report).toMatchObject({ outcome: 'restored', oldState: at('volume/.km-restore/old') });
    expect(fs.lstatSync(at('volume')).ino).toBe(inode);
    const wanted = describeTree(at('source'));
    const got = describeTree(
      at('volume'),
      (name) => mountOnly(name) || name === 'backups' || name.startsWith('backups/'),
    );
    expect(got).toEqual(wanted);
    expect(fs.readdirSync(at('volume/backups/archives')).sort()).toEqual([
      '.km-backup.lock',
      'km-backup-20250101T000000.tgz',
    ]);

    await rollbackRestore(at('volume'));
    fs.rmSync(at('volume/backups/archives/.km-backup.lock'));
    const back = describeTree(at('volume'), mountOnly);
    // The lock and the archives that came and went show in the times of their directory alone.
    for (const tree of [old, back]) delete tree['backups/archives'];
    expect(back).toEqual(old);
    expect(fs.readdirSync(at('volume'))).not.toContain('.km-restore');

    await restore(options(pack(), { oldState: 'remove' }));
    expect(
      fs
        .readdirSync(at('volume'))
        .filter((name) => name !== 'lost+found')
        .sort(),
    ).toEqual(['backups', 'both', 'dir']);
  });

  test('something mounted inside it refuses the restore', async () => {
    execFileSync('mount', ['-t', 'tmpfs', 'none', at('volume/old-dir')]);
    mounted.push(at('volume/old-dir'));
    await expect(restore(options(pack()))).rejects.toThrow(/old-dir is mounted inside the target/);
    expect(fs.readFileSync(at('volume/both'), 'utf8')).toBe('old');
  });

  test('killed anywhere, resumed or rolled back', async () => {
    const archive = pack();
    const runner = new URL('../support/restore-once.ts', import.meta.url).pathname;
    let kills = 0;
    for (; ; kills++) {
      const child = spawn(
        process.execPath,
        [runner, String(kills), 'restore', at('volume'), archive, '', 'keep'],
        { stdio: ['ignore', 'ignore', 'inherit'] },
      );
      const [, signal] = (await once(child, 'exit')) as [number, string | null];
      if (signal === null) break;
      if (restoreStatus(at('volume')).phase !== 'none') await rollbackRestore(at('volume'));
      expect(fs.readFileSync(at('volume/both'), 'utf8')).toBe('old');
      expect(fs.existsSync(at('volume/old-dir'))).toBe(true);
      expect(fs.existsSync(at('volume/backups/archives/km-backup-20250101T000000.tgz'))).toBe(true);
    }
    expect(kills).toBeGreaterThan(10);
    await commitRestore(at('volume'));
    expect(fs.readFileSync(at('volume/both'), 'utf8')).toBe('new');
    expect(fs.existsSync(at('volume/backups/archives/km-backup-20250101T000000.tgz'))).toBe(true);
  });
});

describe('too little space (fault 27)', () => {
  beforeEach(() => {
    mountExt4(at('volume'), 16);
    fs.writeFileSync(at('volume/live'), 'live');
  });
  afterEach(() => {
    expect(fs.readFileSync(at('volume/live'), 'utf8')).toBe('live');
    expect(fs.readdirSync(at('volume')).sort()).toEqual(['live', 'lost+found']);
  });

  test('a bomb is refused before anything is written', async () => {
    const bomb = at('km-backup-bomb.tgz');
    fs.writeFileSync(
      bomb,
      rawArchive([rawEntry({ name: './zeros', content: Buffer.alloc(200 * 1024 * 1024) })]),
    );
    expect(fs.lstatSync(bomb).size).toBeLessThan(300 * 1024);
    const before = fs.statfsSync(at('volume')).bfree;
    let staged = false;
    const failpoint = () => {
      staged = true;
    };
    await expect(restore(options(bomb, { failpoint }))).rejects.toMatchObject({ reason: 'NoSpace' });
    expect(staged).toBe(false);
    expect(fs.statfsSync(at('volume')).bfree).toBe(before);
  });

  test('a million small files too', async () => {
    const entries = Array.from({ length: 5000 }, (_, i) => rawEntry({ name: `./file-${i}` }));
    const archive = at('km-backup-many.tgz');
    fs.writeFileSync(archive, gzipSync(Buffer.concat([...entries, Buffer.alloc(1024)])));
    await expect(restore(options(archive))).rejects.toThrow(/(inodes|MiB) in addition to the old state/);
  });

  test('space that goes while it unpacks: what was staged is removed', async () => {
    fs.writeFileSync(at('source/large'), Buffer.alloc(6 * 1024 * 1024, 'x'));
    const archive = pack();
    const failpoint = (name: string) => {
      if (name === 'unpack') fs.writeFileSync(at('volume/ballast'), Buffer.alloc(8 * 1024 * 1024));
    };
    await expect(restore(options(archive, { failpoint }))).rejects.toMatchObject({ reason: 'NoSpace' });
    fs.rmSync(at('volume/ballast'));
  });

  test('a read-only volume', async () => {
    execFileSync('mount', ['-o', 'remount,ro', at('volume')]);
    await expect(restore(options(pack()))).rejects.toMatchObject({
      reason: 'RestoreRefused',
      message: expect.stringContaining('EROFS'),
    });
    execFileSync('mount', ['-o', 'remount,rw', at('volume')]);
  });
});

test('attributes that the file system cannot take are named, not lost in silence', async () => {
  execFileSync('python3', [
    '-c',
    'import os,sys; os.setxattr(sys.argv[1], "user.note", b"x")',
    at('source/both'),
  ]);
  const archive = at('km-backup-x.tgz');
  execFileSync('tar', ['--xattrs', '-czf', archive, '-C', at('source'), '.']);
  execFileSync('mount', ['-t', 'ramfs', 'none', at('volume')]);
  mounted.push(at('volume'));
  const report = await restore(options(archive));
  expect(report).toMatchObject({
    outcome: 'restored',
    warnings: {
      count: 1,
      samples: [expect.stringMatching(/^both: extended attribute user\.note not restored/)],
    },
  });
});

test('an empty volume needs no commit', async () => {
  mountExt4(at('volume'), 16);
  const report = await restore(options(pack()));
  expect(report).toMatchObject({ outcome: 'restored', oldState: undefined });
  expect(fs.readdirSync(at('volume')).sort()).toEqual(['both', 'dir', 'lost+found']);
});
