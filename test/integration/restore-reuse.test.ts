import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readManifest } from '../../src/archive/format/manifest-reader.ts';
import { manifestNameOf } from '../../src/archive/format/names.ts';
import { resumeRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { planRestore } from '../../src/archive/restore/plan-restore.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreDone, RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { setXattr } from '../../src/posix/xattr.ts';
import { backUpFolder } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

/* Needs root, for mounts. A file that did not change since the backup is not unpacked. */

const MIB = 1024 * 1024;
let base: string;
let archive: string;
let good: ReturnType<typeof describeTree>;
const at = (...names: string[]) => path.join(base, ...names);

beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-reuse-'));
  fs.mkdirSync(at('volume'));
});
afterEach(() => {
  spawnSync('umount', [at('volume')]);
  fs.rmSync(base, { recursive: true, force: true });
});

function mount(kind: 'xfs' | 'ext4'): void {
  fs.writeFileSync(at('image'), '');
  fs.truncateSync(at('image'), 400 * MIB);
  if (kind === 'xfs') execFileSync('mkfs.xfs', ['-q', '-m', 'reflink=1', at('image')]);
  else execFileSync('mkfs.ext4', ['-q', '-m', '0', at('image')]);
  execFileSync('mount', ['-o', 'loop', at('image'), at('volume')]);
}

const target = (...names: string[]) => at('volume/data', ...names);
const LARGE = 30 * MIB;
const SMALL = 100_000;

async function backUp(large = LARGE): Promise<void> {
  fs.mkdirSync(target('dir'), { recursive: true });
  fs.writeFileSync(target('large'), randomBytes(large));
  for (let i = 0; i < 20; i++) fs.writeFileSync(target(`dir/file-${i}`), randomBytes(SMALL));
  fs.writeFileSync(target('dir/setuid'), randomBytes(SMALL), { mode: 0o755 });
  fs.chmodSync(target('dir/setuid'), 0o4755);
  fs.linkSync(target('dir/file-1'), target('dir/twin'));
  fs.chownSync(target('dir/file-2'), 5, 6);
  setXattr(target('dir/file-3'), 'user.note', Buffer.from('note'));
  const { result } = await backUpFolder(target(), at('archives'), {
    // Late enough that nothing counts as written while it was read.
    now: () => new Date(Date.now() + 60_000),
  });
  archive = result.archive!.path;
  good = withoutSetuid(describeTree(target()));
}

const withoutSetuid = (tree: typeof good) => ({
  ...tree,
  'dir/setuid': { ...(tree['dir/setuid'] as object), mode: '755' },
});

/** One file changed, one with its times put back, one gone, one new. */
function damage(): void {
  const { atime, mtime } = fs.statSync(target('dir/file-5'));
  fs.writeFileSync(target('dir/file-5'), randomBytes(SMALL));
  fs.utimesSync(target('dir/file-5'), atime, mtime);
  fs.appendFileSync(target('dir/file-6'), 'more');
  fs.rmSync(target('dir/file-7'));
  fs.writeFileSync(target('dir/new'), 'new');
}

const options = (more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: target(),
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'keep',
  threads: 2,
  now: () => new Date(),
  ...more,
});
const run = async (more: Partial<RestoreOptions> = {}) => (await restore(options(more))) as RestoreDone;

const freeBytes = () => {
  execFileSync('sync', ['-f', at('volume')]);
  const { bavail, bsize } = fs.statfsSync(at('volume'));
  return bavail * bsize;
};
const inode = (name: string) => fs.statSync(target(name)).ino;
/** Of the 21 small files, 3 were damaged. */
const UNCHANGED = LARGE + 18 * SMALL;

describe('where blocks can be shared (XFS)', () => {
  beforeEach(async () => {
    mount('xfs');
    await backUp();
    damage();
  });

  test('unchanged files take no space, and a rollback is exact', async () => {
    const old = describeTree(target());
    const [before, inodeBefore] = [freeBytes(), inode('large')];
    const { reusedBytes, warnings } = await run();
    expect([reusedBytes, warnings.count]).toEqual([UNCHANGED, 1]);
    expect(warnings.samples).toEqual(['dir/setuid: setuid, setgid or capabilities removed']);
    expect(before - freeBytes()).toBeLessThan(4 * MIB);
    expect(describeTree(target())).toEqual(good);
    expect(inode('large')).not.toBe(inodeBefore);
    fs.writeFileSync(target('dir/file-1'), 'written after the restore');
    await rollbackRestore(target());
    expect(describeTree(target())).toEqual(old);
  });

  test('a restore fits where a second copy does not, and its plan says so', async () => {
    execFileSync('fallocate', ['-l', String(freeBytes() - 15 * MIB), at('volume/ballast')]);
    await expect(run({ reuse: 'off' })).rejects.toMatchObject({ reason: 'NoSpace' });
    const { plan, warnings } = await planRestore(options());
    expect([plan.bytesToWrite, warnings.count]).toEqual([3 * SMALL, 1]);
    await run();
    expect(describeTree(target())).toEqual(good);
  });

  test.each([
    ['off', 0],
    ['clone', UNCHANGED],
    ['auto', UNCHANGED],
  ] as const)('--reuse %s', async (reuse, bytes) => {
    const { reusedBytes } = await run({ reuse, oldState: 'remove' });
    expect(reusedBytes).toBe(bytes);
    expect(describeTree(target())).toEqual(good);
  });

  test('staged first, swapped in later: a write in between does not reach what was staged', async () => {
    await run({ id: 'one', stageOnly: true });
    fs.writeFileSync(target('dir/file-1'), 'written meanwhile');
    expect(await restore(options({ id: 'one' }))).toMatchObject({ staged: { reusedBytes: UNCHANGED } });
    expect(describeTree(target())).toEqual(good);
  });
});

describe('where blocks cannot be shared (ext4)', () => {
  beforeEach(async () => {
    mount('ext4');
    await backUp();
    damage();
  });

  test('unchanged files are linked when the old state is not kept', async () => {
    const before = Object.fromEntries(
      ['large', 'dir/file-1', 'dir/file-5', 'dir/setuid'].map((name) => [name, inode(name)]),
    );
    const { reusedBytes } = await run({ oldState: 'remove' });
    // Without its setuid bit it is another file.
    expect(reusedBytes).toBe(UNCHANGED - SMALL);
    expect(describeTree(target())).toEqual(good);
    const same = Object.keys(before).filter((name) => before[name] === inode(name));
    expect(same).toEqual(['large', 'dir/file-1']);
  });

  test.each<[string, Partial<RestoreOptions>]>([
    ['the old state is kept', {}],
    ['writers are ignored', { oldState: 'remove', ignoreWriters: true }],
    ['it is only staged', { oldState: 'remove', stageOnly: true, id: 'one' }],
    ['it is off', { oldState: 'remove', reuse: 'off' }],
    ['only clones are wanted', { oldState: 'remove', reuse: 'clone' }],
  ])('nothing is linked when %s', async (_, more) => {
    expect((await run(more)).reusedBytes).toBe(0);
    if (more.stageOnly) await restore(options({ ...more, stageOnly: false }));
    expect(describeTree(target())).toEqual(good);
  });

  test('unchanged files are copied, not unpacked, when they can be neither cloned nor linked', async () => {
    const old = describeTree(target());
    // Nothing of the archive is left but what changed: what is taken over is not read.
    const slices: number[] = [];
    for await (const { member } of readManifest(manifestNameOf(archive))) {
      if (member.kind === 'part') slices.push(member.offset + Math.floor(member.size / 2));
    }
    const file = fs.openSync(archive, 'r+');
    for (const slice of slices) fs.writeSync(file, Buffer.alloc(16), 0, 16, slice);
    fs.closeSync(file);
    await expect(run({ reuse: 'off' })).rejects.toMatchObject({ reason: 'ArchiveCorrupt' });
    const { reusedBytes } = await run();
    expect(reusedBytes).toBe(0);
    expect(describeTree(target())).toEqual(good);
    await rollbackRestore(target());
    expect(describeTree(target())).toEqual(old);
  });

  test('a copy keeps the holes of a file', async () => {
    fs.writeFileSync(target('sparse'), randomBytes(6 * MIB));
    fs.truncateSync(target('sparse'), 50 * MIB);
    fs.writeFileSync(target('dir/file-5'), randomBytes(SMALL));
    const { result } = await backUpFolder(target(), at('archives'), {
      now: () => new Date(Date.now() + 120_000),
    });
    archive = result.archive!.path;
    await run();
    const { size, blocks } = fs.statSync(target('sparse'));
    expect([size, blocks * 512 < 8 * MIB]).toEqual([50 * MIB, true]);
  });

  test('links that are asked for where they are unsafe are refused', async () => {
    await expect(run({ reuse: 'link' })).rejects.toMatchObject({ reason: 'Usage' });
  });
});

describe('with links', () => {
  const runner = fileURLToPath(new URL('../support/restore-once.ts', import.meta.url));

  test('killed before each change: wholly old or wholly new, and completed by the next run', async () => {
    await backUp(SMALL);
    const pristine = () => {
      fs.rmSync(at('volume'), { recursive: true });
      fs.mkdirSync(at('volume'));
    };
    for (let kill = 0; ; kill++) {
      if (kill > 0) {
        pristine();
        fs.rmSync(at('archives'), { recursive: true });
        await backUp(SMALL);
      }
      damage();
      const old = describeTree(target());
      const child = spawnSync(
        process.execPath,
        [runner, String(kill), 'restore', target(), archive, 'exchange', 'remove'],
        {
          encoding: 'utf8',
        },
      );
      if (child.signal === null) break;
      const last = child.stdout.trim().split('\n').at(-1)!;
      const now = describeTree(target());
      const isNew = fs.existsSync(target('dir/file-7'));
      expect([last, now]).toEqual([last, isNew ? good : old]);
      if (isNew) await resumeRestore(target()).catch(() => {});
      else await run({ oldState: 'remove' });
      expect([last, describeTree(target())]).toEqual([last, good]);
    }
    expect(describeTree(target())).toEqual(good);
  });

  test('an archive in the tree is moved, not linked', async () => {
    fs.mkdirSync(target('dir'), { recursive: true });
    fs.writeFileSync(target('dir/km-backup-20250101T000000Z.tgz'), 'an archive that is data too');
    await backUp(SMALL);
    damage();
    await run({ oldState: 'remove' });
    expect(fs.readFileSync(target('dir/km-backup-20250101T000000Z.tgz'), 'utf8')).toContain('data too');
    expect(describeTree(target('dir/file-1'))).toEqual({ '': good['dir/file-1'] });
    expect(fs.readdirSync(at('volume'))).toEqual(['data']);
  });
});
