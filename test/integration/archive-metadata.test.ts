import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Entry } from '../../src/archive/format/entry.ts';
import { listEntries } from '../../src/archive/restore/list-entries.ts';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { makeFifo } from '../../src/posix/fifo.ts';
import { statusOf } from '../../src/posix/status.ts';
import { setTimes } from '../../src/posix/times.ts';
import { getXattrs, setXattr } from '../../src/posix/xattr.ts';
import { program, Sandbox } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box[Symbol.dispose]());

describe('times of any signed 64-bit second, on tmpfs', () => {
  const NS = 1_000_000_000n;
  const times: Record<string, bigint> = {
    first: -(2n ** 63n) * NS,
    'before-1901': -(2n ** 31n) * NS - 1n,
    'year-minus-1199': -100_000_000_000n * NS + 5n,
    fraction: -1n,
    zero: 0n,
    'year-2262': 2n ** 63n + 7n,
    'year-5138': 100_000_000_000n * NS + 999_999_999n,
    'beyond-ustar': 2n ** 33n * NS,
    'beyond-double': (2n ** 53n + 1n) * NS + 1n,
    last: (2n ** 63n - 1n) * NS,
  };
  let source: string;
  let target: string;
  beforeEach(() => {
    source = fs.mkdtempSync('/dev/shm/km-times-');
    target = fs.mkdtempSync('/dev/shm/km-times-back-');
    for (const [name, time] of Object.entries(times)) {
      fs.writeFileSync(path.join(source, name), name);
      setTimes(path.join(source, name), 0n, time);
    }
    fs.mkdirSync(path.join(source, 'folder'));
    setTimes(path.join(source, 'folder'), 0n, times['last']!);
  });
  afterEach(() => {
    for (const directory of [source, target]) fs.rmSync(directory, { recursive: true });
  });

  const timesIn = (directory: string) =>
    Object.fromEntries(
      [...Object.keys(times), 'folder'].map((name) => [name, statusOf(path.join(directory, name))?.mtime]),
    );

  test('create, verify, extract, restore and the next run take them', async () => {
    const expected = timesIn(source);
    expect(expected).toMatchObject({ first: `${times['first']}`, last: `${times['last']}` });
    box.clockAheadMs = 2_100;
    const { result } = await box.back({ source });
    expect(result).toMatchObject({ outcome: 'Succeeded' });
    const archive = result.archive!.path;
    expect(await verifyArchive(archive, { deep: true })).toMatchObject({ sound: true });

    const again = await box.back({ source });
    expect(again.result.archive).toMatchObject({ sha256: result.archive!.sha256 });
    expect(again.result.archive!.reusedBytes).toBeGreaterThan(0);

    fs.mkdirSync(path.join(target, 'extracted'));
    const all = [...Object.keys(times), 'folder'];
    execFileSync(program, ['extract', archive, ...all, '-C', path.join(target, 'extracted')], {
      stdio: 'pipe',
    });
    expect(timesIn(path.join(target, 'extracted'))).toEqual(expected);
    for (const kind of ['with-manifest', 'plain']) {
      if (kind === 'plain') fs.rmSync(`${archive}.manifest`);
      execFileSync(program, ['restore', archive, path.join(target, kind)], { stdio: 'pipe' });
      expect(timesIn(path.join(target, kind))).toEqual(expected);
    }
  });

  test('GNU tar extracts every file, and each time that it can', async () => {
    const { result } = await box.back({ source });
    fs.mkdirSync(path.join(target, 'tar'));
    spawnSync('tar', ['-xpzf', result.archive!.path, '-C', path.join(target, 'tar')]);
    const is = timesIn(path.join(target, 'tar'));
    expect(Object.values(is)).not.toContain(undefined);
    for (const name of ['before-1901', 'fraction', 'zero', 'year-2262', 'year-5138', 'beyond-ustar'])
      expect([name, is[name]]).toEqual([name, `${times[name]}`]);
  });
});

test.runIf(process.geteuid?.() === 0)('attributes of every type of file come back', async () => {
  fs.mkdirSync(path.join(box.source, 'folder'));
  box.write('file', 'x');
  fs.symlinkSync('file', path.join(box.source, 'link'));
  fs.symlinkSync('nowhere', path.join(box.source, 'dangling'));
  makeFifo(path.join(box.source, 'fifo'), 0o600);
  execFileSync('mknod', [path.join(box.source, 'device'), 'c', '1', '3']);
  const names = ['folder', 'file', 'link', 'dangling', 'fifo', 'device'];
  for (const name of names) setXattr(path.join(box.source, name), 'trusted.note', Buffer.from(name));
  setXattr(path.join(box.source, 'folder'), 'user.note', Buffer.from('of a folder'));
  // Entries of a directory with this default ACL inherit it: user::rwx group::r-x other::---
  const acl = '02000000 01000700ffffffff 04000500ffffffff 20000000ffffffff'.replaceAll(' ', '');
  setXattr(path.join(box.source, 'folder'), 'system.posix_acl_default', Buffer.from(acl, 'hex'));
  const before = describeTree(box.source);
  for (const name of names)
    expect(before[name]).toMatchObject({
      xattrs: { 'trusted.note': Buffer.from(name).toString('hex') },
    });
  const { result } = await box.back();
  expect(result.outcome).toBe('Succeeded');
  const stored = new Map<string, Entry>();
  await listEntries(result.archive!.path, (entry) => stored.set(entry.path, entry));
  expect(stored.get('device')?.xattrs).toEqual({ 'trusted.note': Buffer.from('device').toString('base64') });
  const target = path.join(box.root, 'target');
  execFileSync(program, ['restore', '--skip-devices', result.archive!.path, target], { stdio: 'pipe' });
  const { device: _, ...restorable } = before;
  expect(describeTree(target)).toEqual(restorable);
});

describe.runIf(process.geteuid?.() === 0 && fs.readFileSync('/proc/filesystems', 'utf8').includes('xfs'))(
  'extended attributes of more than a megabyte, on XFS',
  () => {
    let volume: string;
    beforeEach(() => {
      volume = path.join(box.source, 'volume');
      const image = path.join(box.root, 'image');
      fs.mkdirSync(volume);
      execFileSync('truncate', ['-s', '320M', image]);
      execFileSync('mkfs.xfs', ['-q', '-f', image]);
      execFileSync('mount', ['-o', 'loop', image, volume]);
    });
    afterEach(() => {
      spawnSync('umount', ['-l', volume]);
    });

    test.each(['file', 'folder'])(
      'a %s: what fits is stored, the rest is named, every reader goes on',
      async (kind) => {
        const at = path.join(volume, 'it');
        if (kind === 'file') fs.writeFileSync(at, 'content');
        else fs.mkdirSync(at);
        fs.writeFileSync(path.join(volume, 'next'), 'next');
        for (let index = 0; index < 20; index++)
          setXattr(at, `user.big-${String(index).padStart(2, '0')}`, Buffer.alloc(60_000, index + 1));
        setXattr(at, 'user.small', Buffer.from('kept'));
        const all = getXattrs(at);
        const { result, exitCode } = await box.back();
        expect([exitCode, result.outcome, result.warnings.count]).toEqual([3, 'Incomplete', 1]);
        expect(result.warnings.samples[0]).toMatch(
          /^\.\/volume\/it: \d+ extended attribute\(s\) are not stored, .*user\.big-\d\d \(60000 bytes\), …$/,
        );
        const archive = result.archive!.path;
        expect(await verifyArchive(archive, { deep: true })).toMatchObject({ sound: true });
        for (const reader of ['tar', 'bsdtar'].filter(
          (each) => spawnSync(each, ['--version']).status === 0,
        )) {
          const { status, stdout } = spawnSync(reader, ['-tzf', archive], { encoding: 'utf8' });
          expect([status, stdout.match(/volume\/(?:it|next)\/?$/gm)?.length]).toEqual([0, 2]);
        }
        fs.rmSync(`${archive}.manifest`);
        const paths: string[] = [];
        await listEntries(archive, (entry) => paths.push(entry.path));
        expect(paths).toEqual(expect.arrayContaining(['volume/it', 'volume/next']));
        const back = path.join(volume, 'back');
        execFileSync(program, ['restore', archive, back], { stdio: 'pipe' });
        const restored = getXattrs(path.join(back, 'volume/it'));
        expect(restored.get('user.small')?.toString()).toBe('kept');
        expect(restored.size).toBeGreaterThan(10);
        for (const [name, value] of restored) expect(value.equals(all.get(name)!)).toBe(true);
      },
    );
  },
);
