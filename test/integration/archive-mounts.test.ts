import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { setXattr } from '../../src/posix/xattr.ts';
import { program, Sandbox } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

const root = process.geteuid?.() === 0;
const known = fs.readFileSync('/proc/filesystems', 'utf8').split(/\s+/);

const formats = {
  ext4: ['mkfs.ext4', '-q', '-F', '-O', '^has_journal', '-m', '0'],
  xfs: ['mkfs.xfs', '-q', '-f'],
  btrfs: ['mkfs.btrfs', '-q', '-f'],
} as const;

/** A file system of its own, on a loop device over a file. */
function mountImage(
  image: string,
  megabytes: number,
  at: string,
  options = 'loop',
  format: keyof typeof formats = 'ext4',
): void {
  execFileSync('truncate', ['-s', `${megabytes}M`, image]);
  const [program, ...flags] = formats[format];
  execFileSync(program, [...flags, image]);
  fs.mkdirSync(at, { recursive: true });
  execFileSync('mount', ['-o', options, image, at]);
}

describe.runIf(root)('on file systems of their own', () => {
  let box: Sandbox;
  let mounts: string[];
  beforeEach(() => {
    box = new Sandbox();
    mounts = [];
  });
  afterEach(() => {
    for (const mount of mounts.reverse()) spawnSync('umount', ['-l', mount]);
    box[Symbol.dispose]();
  });

  function small(megabytes: number): void {
    mountImage(path.join(box.root, 'image'), megabytes, box.destination);
    mounts.push(box.destination);
    fs.rmdirSync(path.join(box.destination, 'lost+found'));
  }

  const noise = (bytes: number) =>
    execFileSync('head', ['-c', String(bytes), '/dev/urandom'], { maxBuffer: 2 * bytes });

  test('no space: fails, removes the temporary, deletes nothing', async () => {
    small(12);
    box.write('a', noise(3 << 20));
    await box.back({ now: () => new Date('2026-01-01') });
    await box.back({ now: () => new Date('2026-01-02') });
    const before = box.names();
    box.write('b', noise(8 << 20));
    const { result, exitCode } = await box.back({ retention: { limit: 1 } });
    expect([exitCode, result.outcome, result.reason]).toEqual([7, 'Failed', 'NoSpace']);
    expect(result.message).toContain('No archive was removed');
    expect(box.names()).toEqual(before);
  });

  test('a device that fails when written back: fails, and no archive appears', async () => {
    // The image is sparse on a file system too small for it: writes succeed, and only the sync tells.
    const tight = path.join(box.root, 'tight');
    fs.mkdirSync(tight);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', tight]);
    mounts.push(tight);
    mountImage(path.join(tight, 'image'), 64, box.destination);
    mounts.push(box.destination);
    box.write('a', noise(24 << 20));
    const { result, exitCode } = await box.back();
    expect([exitCode, result.outcome, result.reason]).toEqual([7, 'Failed', 'NoSpace']);
    expect(box.names().filter((name) => name.startsWith('km-backup-'))).toEqual([]);
  });

  test('a device that answers EIO: fails, and no archive appears', async () => {
    const image = path.join(box.root, 'image');
    small(64);
    const device = execFileSync('losetup', ['-j', image, '-O', 'NAME', '-n'], { encoding: 'utf8' }).trim();
    // What lies behind the end of a device that has shrunk cannot be written.
    fs.truncateSync(image, 24 << 20);
    execFileSync('losetup', ['-c', device]);
    box.write('a', noise(40 << 20));
    const { result, exitCode } = await box.back();
    expect([exitCode, result.outcome, result.reason]).toEqual([1, 'Failed', 'WriteFailed']);
    expect(result.message).toContain('EIO');
    expect(box.names().filter((name) => name.startsWith('km-backup-'))).toEqual([]);
  });

  test('a source device that fails: names the large file, and stores the others', async () => {
    const image = path.join(box.root, 'image');
    mountImage(image, 64, box.source);
    box.write('a', 'first');
    box.write('large', noise(9_000_000));
    box.write('z', 'last');
    const map = execFileSync('filefrag', ['-sv', '-b512', path.join(box.source, 'large')], {
      encoding: 'utf8',
    });
    const sector = Number(/^ +0: +0\.\. *\d+: +(\d+)\.\./m.exec(map)![1]);
    execFileSync('umount', [box.source]);
    execFileSync('mount', ['-o', 'loop', image, box.source]);
    mounts.push(box.source);
    // Reads beyond the end of the image fail.
    fs.truncateSync(image, sector * 512 + 5_000_000);

    const { result, exitCode } = await box.back();
    expect([exitCode, result.outcome]).toEqual([3, 'Incomplete']);
    expect(result.warnings.samples).toEqual(['./large: cannot be read (EIO)']);
    const listed = execFileSync('tar', ['-tzf', result.archive!.path], { encoding: 'utf8' });
    expect(listed.split('\n').filter((name) => !name.endsWith('/'))).toEqual(['./a', './z', '']);
  });

  async function other(format: 'xfs' | 'btrfs'): Promise<void> {
    mountImage(path.join(box.root, 'image'), 512, box.destination, 'loop', format);
    mounts.push(box.destination);
  }

  test.runIf(known.includes('btrfs'))('a quota that is used up: as no space', async () => {
    await other('btrfs');
    execFileSync('btrfs', ['quota', 'enable', box.destination]);
    execFileSync('btrfs', ['qgroup', 'limit', '16M', box.destination]);
    box.write('a', noise(3 << 20));
    await box.back({ now: () => new Date('2026-01-01') });
    const before = box.names();
    box.write('b', noise(24 << 20));
    const { result, exitCode } = await box.back({ retention: { limit: 1 } });
    expect([exitCode, result.outcome, result.reason]).toEqual([7, 'Failed', 'NoSpace']);
    expect(result.message).toContain('EDQUOT');
    expect(box.names()).toEqual(before);
  });

  test.each((['xfs', 'btrfs'] as const).filter((format) => known.includes(format)))(
    'an unchanged large file takes no room again on %s',
    async (format) => {
      await other(format);
      box.clockAheadMs = 2_100;
      box.write('a', 'before it');
      box.write('large', noise(20 << 20));
      const used = () => {
        execFileSync('sync', ['-f', box.destination]);
        const { blocks, bfree, bsize } = fs.statfsSync(box.destination);
        return (blocks - bfree) * bsize;
      };
      await box.back();
      const once = used();
      // Whatever comes before the large file moves it.
      for (const text of [undefined, noise(5_000), noise(7_001)]) {
        if (text) box.write('a', text);
        const { result } = await box.back();
        expect(result.outcome).toBe('Succeeded');
        expect(describeTree(box.untar(result.archive!.path))).toEqual(describeTree(box.source));
        expect(await verifyArchive(result.archive!.path, { deep: true })).toMatchObject({ sound: true });
      }
      expect(box.names().filter((name) => name.endsWith('.tgz'))).toHaveLength(4);
      expect(used() - once).toBeLessThan(1 << 20);
    },
  );

  test('read-only: fails, and does not go elsewhere', async () => {
    small(8);
    box.write('a', 'x');
    const done = await box.back();
    execFileSync('mount', ['-o', 'remount,ro', box.destination]);
    const { result, exitCode } = await box.back();
    expect([exitCode, result.reason]).toEqual([1, 'DestinationUnusable']);
    expect(box.names()).toContain(done.result.archive!.name);
  });

  test('a destination that cannot be made fails', async () => {
    box.write('a', 'x');
    const { result, exitCode } = await box.back({ destination: '/proc/none/archives' });
    expect([exitCode, result.outcome]).toEqual([1, 'Failed']);
  });

  test('an archive that cannot be removed is counted, the others go', async () => {
    small(8);
    box.write('a', 'x');
    const days = [1, 2, 3].map((day) => () => new Date(Date.UTC(2026, 0, day)));
    const names: string[] = [];
    for (const now of days) names.push((await box.back({ now })).result.archive!.name);
    const stuck = path.join(box.destination, names[1]!);
    execFileSync('chattr', ['+i', stuck]);
    const { result, exitCode } = await box.back({ retention: { limit: 1 } });
    execFileSync('chattr', ['-i', stuck]);
    expect([exitCode, result.outcome]).toEqual([0, 'Succeeded']);
    expect(result.pruned).toEqual({ count: 2, failed: 1, names: [names[2], names[0]] });
    expect(result.message).toContain(`Could not remove 1 old archive(s): ${names[1]}: EPERM`);
    expect(box.names()).toContain(names[1]);
  });

  test('attributes and ACLs come back', async () => {
    const image = path.join(box.root, 'attributes');
    mountImage(image, 16, path.join(box.source, 'volume'));
    mounts.push(path.join(box.source, 'volume'));
    const file = box.write('volume/file', 'x');
    setXattr(file, 'user.note', Buffer.from([0, 1, 2, 255]));
    setXattr(file, 'trusted.note', Buffer.from('t'));
    for (const name of ['user.a=b', 'user.50%3D', Buffer.from('user.é').toString('latin1')])
      setXattr(file, name, Buffer.from(name));
    // user::rw- user:1:r-- group::r-- mask::r-- other::---
    const acl = '0200000001000600ffffffff02000400010000000400 0400ffffffff10000400ffffffff20000000ffffffff';
    setXattr(file, 'system.posix_acl_access', Buffer.from(acl.replaceAll(' ', ''), 'hex'));
    const { result } = await box.back();
    expect(result.outcome).toBe('Succeeded');
    const target = path.join(box.source, 'volume/back');
    fs.mkdirSync(target);
    execFileSync('tar', [
      '--xattrs',
      '--xattrs-include=*',
      '-xpzf',
      result.archive!.path,
      '-C',
      target,
      './volume/file',
    ]);
    const [was, is] = [
      describeTree(path.join(box.source, 'volume')),
      describeTree(path.join(target, 'volume')),
    ];
    expect(is['file']).toEqual(was['file']);
    for (const manifest of ['with', 'without']) {
      const restored = path.join(box.root, manifest);
      if (manifest === 'without') fs.rmSync(`${result.archive!.path}.manifest`);
      execFileSync(program, ['restore', result.archive!.path, restored]);
      expect(describeTree(path.join(restored, 'volume'))['file']).toEqual(was['file']);
    }
    expect(Object.keys((was['file'] as { xattrs: object }).xattrs).sort()).toEqual([
      'system.posix_acl_access',
      'trusted.note',
      'user.50%3D',
      'user.a=b',
      'user.note',
      expect.stringMatching(/^user\../),
    ]);
  });

  test("a volume's own lost+found that a pod may not read is no warning", () => {
    const volume = path.join(box.root, 'volume');
    mountImage(path.join(box.root, 'lost'), 8, volume);
    mounts.push(volume);
    fs.writeFileSync(path.join(volume, 'file'), 'x');
    fs.chmodSync(box.root, 0o755);
    fs.mkdirSync(box.destination);
    fs.chownSync(box.destination, 65534, 65534);
    const args = ['create', '--source', volume, '--destination', box.destination];
    const { status, stderr } = spawnSync(program, args, { uid: 65534, gid: 65534, encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, expect.not.stringContaining('warning:')]);
  });
});
