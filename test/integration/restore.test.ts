import { execFileSync, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { runBackup } from '../../src/archive/create/run-backup.ts';
import { fromText } from '../../src/archive/format/byte-string.ts';
import { encodeEntry } from '../../src/archive/format/entry-line.ts';
import { readSummary } from '../../src/archive/format/manifest-reader.ts';
import { ManifestWriter } from '../../src/archive/format/manifest-writer.ts';
import { WorkerPool } from '../../src/archive/pool/worker-pool.ts';
import { commitRestore, discardRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { FileLock } from '../../src/posix/file-lock.ts';
import { setTimes } from '../../src/posix/times.ts';
import { setXattr } from '../../src/posix/xattr.ts';
import { type RawEntry, rawArchive, rawEntry } from '../support/raw-tar.ts';
import { describeTree } from '../support/tree.ts';

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-restore-test-'));
  fs.mkdirSync(at('archives'));
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

const options = (archive: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: at('target'),
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'keep',
  threads: 1,
  now: () => new Date('2026-02-03T04:05:06Z'),
  ...more,
});

/** A managed archive with a manifest of what lies in `source`. */
async function backup(
  source: string,
  destination = at('archives'),
  compression: 'gzip' | 'zstd' = 'gzip',
): Promise<string> {
  const { result } = await runBackup({
    source,
    destination,
    series: undefined,
    compression,
    level: compression === 'gzip' ? 5 : 3,
    exclude: [],
    include: [],
    full: false,
    allowEmpty: true,
    lockWaitMs: 0,
    retention: undefined,
    signal: new AbortController().signal,
    now: () => new Date('2026-01-01T00:00:00Z'),
  });
  if (!result.archive) throw new Error(result.message);
  return result.archive.path;
}

/** An archive as the original script makes it. */
function legacy(source: string, ...tarOptions: string[]): string {
  const archive = at('archives', 'km-backup-20250101T000000.tgz');
  execFileSync('tar', ['-czf', archive, ...tarOptions, '-C', source, '.']);
  return archive;
}

function hostile(...entries: (RawEntry | Buffer)[]): string {
  const archive = at('archives', 'km-backup-hostile.tgz');
  fs.writeFileSync(archive, rawArchive(entries));
  return archive;
}

/** Everything a tree may hold, made at `root`. */
function richTree(root: string): void {
  fs.mkdirSync(path.join(root, 'a/b/empty'), { recursive: true });
  fs.writeFileSync(path.join(root, 'a/file'), 'content');
  fs.writeFileSync(path.join(root, 'a/b/large'), Buffer.alloc(9 * 1024 * 1024, 'large file '));
  fs.linkSync(path.join(root, 'a/file'), path.join(root, 'second-name'));
  fs.symlinkSync('/etc/passwd', path.join(root, 'absolute'));
  fs.symlinkSync('../../nowhere', path.join(root, 'a/dangling'));
  fs.symlinkSync('loop', path.join(root, 'loop'));
  execFileSync('mkfifo', [path.join(root, 'fifo')]);
  fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from([0xff, 0x0a, 0x80])]), 'odd name');
  fs.writeFileSync(path.join(root, 'a/read-only'), 'ro', { mode: 0o400 });
  for (const [name, size, places] of [
    ['sparse', 3 * 1024 * 1024, [0, 2 * 1024 * 1024]],
    ['all-hole', 5 * 1024 * 1024, []],
    ['sparse-and-large', 24 * 1024 * 1024, [1024 * 1024, 15 * 1024 * 1024]],
  ] as const) {
    const fd = fs.openSync(path.join(root, name), 'w');
    fs.ftruncateSync(fd, size);
    const length = name === 'sparse-and-large' ? 3 * 1024 * 1024 + 11 : 4096 + 11;
    for (const place of places) fs.writeSync(fd, Buffer.alloc(length, name), 0, length, place);
    fs.closeSync(fd);
  }
  fs.chmodSync(path.join(root, 'a/b'), 0o1750);
  setTimes(path.join(root, 'a/file'), 0n, 1_234_567_890_123_456_789n);
  setTimes(path.join(root, 'absolute'), 0n, 987_654_321_000_000_001n);
  setTimes(path.join(root, 'a/b/empty'), 0n, 5n);
  setTimes(path.join(root, 'a/b'), 0n, 1n);
  setTimes(root, 0n, 1_600_000_000_000_000_007n);
}

describe('brings a tree back', () => {
  beforeEach(() => {
    fs.mkdirSync(at('source'));
    richTree(at('source'));
  });

  test.each(['gzip', 'zstd'] as const)('from a managed archive, %s', async (compression) => {
    const before = describeTree(at('source'));
    const report = await restore(options(await backup(at('source'), at('archives'), compression)));
    expect(report).toMatchObject({
      outcome: 'restored',
      against: 'manifest',
      warnings: { count: 0 },
      oldState: undefined,
    });
    expect(describeTree(at('target'))).toEqual(before);
    expect(fs.lstatSync(at('target/sparse')).blocks * 512).toBeLessThan(1024 * 1024);
    expect(fs.lstatSync(at('target/sparse-and-large')).blocks * 512).toBeLessThan(8 * 1024 * 1024);
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'source', 'target']);
  });

  test.each([
    ['gnu', ['--format=gnu']],
    ['gnu sparse', ['--format=gnu', '-S']],
    ['pax', ['--format=posix']],
    ['pax sparse', ['--format=posix', '-S', '--sparse-version=1.0']],
  ])('from an archive of GNU tar, %s', async (name, tarOptions) => {
    const report = await restore(options(legacy(at('source'), ...tarOptions)));
    expect(report).toMatchObject({
      outcome: 'restored',
      against: 'structure',
      note: expect.stringContaining('no manifest'),
    });
    const precise = name.startsWith('pax');
    const cut = (tree: object) =>
      precise ? tree : JSON.parse(JSON.stringify(tree).replace(/("mtime":"\d*?)\d{1,9}"/g, '$1"'));
    expect(cut(describeTree(at('target')))).toEqual(cut(describeTree(at('source'))));
  });

  test('as tar -xzf does', async () => {
    const archive = await backup(at('source'));
    await restore(options(archive));
    fs.mkdirSync(at('by-tar'));
    execFileSync('tar', ['-xzf', archive, '-C', at('by-tar')]);
    expect(describeTree(at('target'))).toEqual(describeTree(at('by-tar')));
  });

  test.each(['gzip', 'zstd'] as const)('as bsdtar does, %s', async (compression) => {
    setXattr(at('source/a/file'), 'user.test', Buffer.from('value'));
    setTimes(at('source/a/file'), 0n, 1_234_567_890_123_456_789n);
    const archive = await backup(at('source'), at('archives'), compression);
    fs.mkdirSync(at('by-bsdtar'));
    execFileSync('bsdtar', ['--numeric-owner', '-xpf', archive, '-C', at('by-bsdtar')]);
    // It leaves the directory alone into which it is told to unpack.
    const below = (tree: string) => ({ ...describeTree(at(tree)), '': undefined });
    expect(below('by-bsdtar')).toEqual(below('source'));
  });
});

describe('the old state', () => {
  let archive: string;
  let newTree: object;
  let oldTree: object;
  beforeEach(async () => {
    fs.mkdirSync(at('source/sub'), { recursive: true });
    fs.writeFileSync(at('source/sub/new'), 'new');
    fs.writeFileSync(at('source/both'), 'new');
    archive = await backup(at('source'));
    fs.mkdirSync(at('target/old-sub'), { recursive: true, mode: 0o700 });
    fs.writeFileSync(at('target/both'), 'old');
    fs.writeFileSync(at('target/old-sub/old'), 'old');
    newTree = describeTree(at('source'));
    oldTree = describeTree(at('target'));
  });

  test.each(['exchange', 'rename', 'children'] as const)(
    'is kept, then committed or rolled back (%s)',
    async (swap) => {
      const visible = (name: string) => name === '.km-restore';
      const report = await restore(options(archive, { swap }));
      expect(report).toMatchObject({ outcome: 'restored', oldState: expect.stringMatching(/\/old$/) });
      expect(describeTree(at('target'), visible)).toEqual(newTree);
      expect(describeTree(report.oldState!)).toMatchObject({ both: {}, 'old-sub/old': {} });
      expect(restoreStatus(at('target'))).toMatchObject({ phase: 'swapped' });

      expect(await rollbackRestore(at('target'))).toMatch(/the old state is back/);
      expect(describeTree(at('target'))).toEqual(oldTree);
      expect(fs.readdirSync(base).sort()).toEqual(['archives', 'source', 'target']);

      await restore(options(archive, { swap }));
      expect(await commitRestore(at('target'))).toMatch(/is final/);
      expect(describeTree(at('target'))).toEqual(newTree);
      expect(fs.readdirSync(base).sort()).toEqual(['archives', 'source', 'target']);
      expect(restoreStatus(at('target')).phase).toBe('none');
    },
  );

  test('may be removed at once', async () => {
    await restore(options(archive, { oldState: 'remove' }));
    expect(describeTree(at('target'))).toEqual(newTree);
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'source', 'target']);
  });

  test('blocks a second restore until it is dealt with, unless that is the same request', async () => {
    await restore(options(archive, { id: 'one' }));
    await expect(restore(options(archive, { id: 'two' }))).rejects.toMatchObject({
      reason: 'RestoreRefused',
    });
    expect(await restore(options(archive, { id: 'one' }))).toMatchObject({ outcome: 'already-restored' });
    await commitRestore(at('target'));
    expect(await restore(options(archive, { id: 'two' }))).toMatchObject({ outcome: 'restored' });
  });

  test('a dry run changes nothing at all', async () => {
    const report = await restore(options(archive, { dryRun: true }));
    expect(report).toMatchObject({ outcome: 'would-restore', entries: 4, files: 2 });
    expect(describeTree(at('target'))).toEqual(oldTree);
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'source', 'target']);
  });

  test('a dry run is refused where a restore would be: an old state is kept', async () => {
    await restore(options(archive));
    await expect(restore(options(archive, { dryRun: true }))).rejects.toThrow(/kept in .* until --commit/);
    await commitRestore(at('target'));
    await restore(options(archive, { dryRun: true }));
    expect(describeTree(at('target'))).toEqual(newTree);
  });

  test('a target that is a symlink is followed, and stays one', async () => {
    fs.symlinkSync('target', at('alias'));
    await restore(options(archive, { target: at('alias'), oldState: 'remove' }));
    expect(fs.readlinkSync(at('alias'))).toBe('target');
    expect(describeTree(at('target'))).toEqual(newTree);
  });

  test('with nothing to commit or roll back, says so', async () => {
    await expect(commitRestore(at('target'))).rejects.toThrow(/no unfinished restore and no kept old state/);
    await expect(rollbackRestore(at('target'))).rejects.toThrow(
      /no unfinished restore and no kept old state/,
    );
  });

  test("somebody else's directory of the state's name is left alone", async () => {
    fs.mkdirSync(at('.km-restore-target'));
    fs.writeFileSync(at('.km-restore-target/theirs'), '');
    await expect(restore(options(archive))).rejects.toThrow(/was not created by this program/);
    expect(fs.readdirSync(at('.km-restore-target'))).toEqual(['theirs']);
    expect(describeTree(at('target'))).toEqual(oldTree);
  });

  test('two restores of one target: the second is refused', async () => {
    fs.mkdirSync(at('.km-restore-target'), 0o700);
    const attempt = FileLock.tryLock(at('.km-restore-target/lock'));
    await expect(restore(options(archive))).rejects.toMatchObject({ reason: 'Locked', exitCode: 4 });
    if (attempt.acquired) attempt.lock.release();
    expect(describeTree(at('target'))).toEqual(oldTree);
  });
});

describe('a tree of many directories is deleted on all threads', () => {
  const mode = { swap: 'children' } as const;

  test.each<[string, (archive: string) => Promise<unknown>, (many: string) => Promise<unknown>]>([
    ['by a commit', (many) => restore(options(many)), () => commitRestore(at('target'))],
    ['by a rollback', (many) => restore(options(many)), () => rollbackRestore(at('target'))],
    [
      'by a discard',
      (many) => restore(options(many, { stageOnly: true })),
      () => discardRestore(at('target')),
    ],
    [
      'by a discard below a mount point',
      (many) => restore(options(many, { ...mode, stageOnly: true })),
      () => discardRestore(at('target')),
    ],
    [
      'by a restore that fails before its swap',
      async () => {},
      (many) => {
        const failpoint = (name: string) => {
          if (name === 'sync') throw new Error('a failure after unpacking');
        };
        return expect(restore(options(many, { failpoint }))).rejects.toThrow('a failure after unpacking');
      },
    ],
  ])('%s', async (_, begin, finish) => {
    for (const tree of ['source', 'target']) {
      for (let i = 0; i < 100; i++) fs.mkdirSync(at(tree, `deep/${i}`), { recursive: true });
    }
    // Copies of archives among what is staged are content.
    fs.writeFileSync(at('source/deep/0/km-backup-20200101T000000Z.tgz'), 'content');
    fs.writeFileSync(at('source/deep/1/secret'), 'x');
    fs.chmodSync(at('source/deep/1'), 0o300);
    const many = await backup(at('source'));
    await begin(many);
    const sent = vi.spyOn(WorkerPool.prototype, 'run');
    try {
      await finish(many);
      expect(sent.mock.calls.map(([kind]) => kind)).toContain('empty');
    } finally {
      sent.mockRestore();
    }
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'source', 'target']);
    expect(fs.readdirSync(at('target'))).not.toContain('.km-restore');
    expect(fs.readdirSync(at('target/deep'))).toHaveLength(100);
  });
});

describe('archives inside the target (fault 30)', () => {
  let archive: string;
  const inside = () => at('target/backups/archives');
  beforeEach(async () => {
    fs.mkdirSync(inside(), { recursive: true });
    fs.writeFileSync(at('target/data'), 'at the time of the backup');
    archive = await backup(at('target'), inside());
    fs.writeFileSync(at('target/data'), 'later');
    fs.writeFileSync(path.join(inside(), 'km-backup-20200101T000000.tgz'), 'an older one');
    fs.writeFileSync(path.join(inside(), 'notes.txt'), 'part of the old state');
  });
  const kept = [
    '.km-backup.lock',
    'km-backup-20200101T000000.tgz',
    'km-backup-20260101T000000Z.tgz',
    'km-backup-20260101T000000Z.tgz.manifest',
  ];

  test.each(['exchange', 'rename', 'children'] as const)(
    'survive restore, commit and rollback (%s)',
    async (swap) => {
      const inode = fs.lstatSync(archive).ino;
      expect(await restore(options(archive, { swap }))).toMatchObject({ archivesKept: 4 });
      expect(fs.readFileSync(at('target/data'), 'utf8')).toBe('at the time of the backup');
      expect(fs.readdirSync(inside()).sort()).toEqual(kept);
      expect(fs.lstatSync(archive).ino).toBe(inode);

      fs.writeFileSync(path.join(inside(), 'km-backup-20270101T000000.tgz'), 'made after the restore');
      await rollbackRestore(at('target'));
      expect(fs.readFileSync(at('target/data'), 'utf8')).toBe('later');
      expect(fs.readdirSync(inside()).sort()).toEqual(
        [...kept, 'km-backup-20270101T000000.tgz', 'notes.txt'].sort(),
      );
      expect(fs.lstatSync(archive).ino).toBe(inode);

      await restore(options(archive, { swap }));
      await commitRestore(at('target'));
      expect(fs.readdirSync(inside()).sort()).toEqual([...kept, 'km-backup-20270101T000000.tgz'].sort());
      expect(fs.readdirSync(base).sort()).toEqual(['archives', 'target']);
    },
  );

  test('one that is added to the old state after the swap is moved before that is deleted', async () => {
    const { oldState } = await restore(options(archive));
    fs.writeFileSync(
      path.join(oldState!, 'backups/archives/km-backup-20280101T000000.tgz'),
      'by a late writer',
    );
    await commitRestore(at('target'));
    expect(fs.readFileSync(path.join(inside(), 'km-backup-20280101T000000.tgz'), 'utf8')).toBe(
      'by a late writer',
    );
  });

  test('a backup that is running there refuses the restore', async () => {
    const attempt = FileLock.tryLock(path.join(inside(), '.km-backup.lock'));
    await expect(restore(options(archive, { ignoreWriters: true }))).rejects.toMatchObject({
      reason: 'Locked',
    });
    expect(fs.readFileSync(at('target/data'), 'utf8')).toBe('later');
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'target']);
    if (attempt.acquired) attempt.lock.release();
  });

  test('a tree in which they have no place is refused', async () => {
    const bad = hostile({ name: './', type: '5', mode: 0o755 }, { name: './backups', content: 'a file' });
    await expect(restore(options(bad))).rejects.toThrow(
      /holds archives in the target, but is not a directory/,
    );
    expect(fs.readFileSync(at('target/data'), 'utf8')).toBe('later');
    expect(fs.readdirSync(inside()).sort()).toEqual([...kept, 'notes.txt'].sort());
  });

  test('a symlink in their way is not followed', async () => {
    fs.mkdirSync(at('trap/archives'), { recursive: true });
    const bad = hostile(
      { name: './', type: '5', mode: 0o755 },
      { name: './backups', type: '2', link: at('trap') },
    );
    await expect(restore(options(bad))).rejects.toThrow(/is not a directory in the tree/);
    expect(fs.readdirSync(at('trap/archives'))).toEqual([]);
  });
});

describe('refused before live data is touched', () => {
  let good: string;
  let live: object;
  let made: string;
  beforeAll(async () => {
    made = fs.mkdtempSync(path.join(os.tmpdir(), 'km-restore-made-'));
    base = made;
    fs.mkdirSync(at('source'));
    for (let i = 0; i < 60; i++) fs.writeFileSync(at('source', `file-${i}`), `content ${i} `.repeat(400));
    fs.writeFileSync(at('source/large'), Buffer.alloc(9 * 1024 * 1024, 'large'));
    good = await backup(at('source'));
  });
  afterAll(() => fs.rmSync(made, { recursive: true }));
  beforeEach(() => {
    fs.mkdirSync(at('target'));
    fs.writeFileSync(at('target/live'), 'live');
    live = describeTree(at('target'));
    // Where escapes would land.
    fs.writeFileSync(at('secret'), 'secret');
  });

  async function refusal(archive: string, more: Partial<RestoreOptions> = {}) {
    const names = fs.readdirSync(base).sort();
    const error: unknown = await restore(options(archive, more)).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ name: 'ArchiveError' });
    expect(describeTree(at('target'))).toEqual(live);
    expect(fs.readdirSync(base).sort()).toEqual(names);
    expect(fs.readFileSync(at('secret'), 'utf8')).toBe('secret');
    expect(fs.lstatSync(at('secret')).nlink).toBe(1);
    return error as Error & { exitCode: number; reason: string };
  }

  /** The archive's bytes changed, its manifest as it was or gone. */
  function damaged(change: (bytes: Buffer) => Buffer, manifest: boolean): string {
    const archive = at('archives', 'km-backup-20260202T000000Z.tgz');
    fs.writeFileSync(archive, change(fs.readFileSync(good)));
    if (manifest) fs.copyFileSync(`${good}.manifest`, `${archive}.manifest`);
    return archive;
  }

  function memberStarts(bytes: Buffer): number[] {
    const starts: number[] = [];
    for (let i = bytes.indexOf('1f8b0800', 0, 'hex'); i !== -1; i = bytes.indexOf('1f8b0800', i + 1, 'hex'))
      starts.push(i);
    return starts;
  }

  const cuts: [string, (bytes: Buffer) => Buffer][] = [
    ['empty', () => Buffer.alloc(0)],
    ['truncated', (bytes) => bytes.subarray(0, bytes.length - 20)],
    ['cut in half', (bytes) => bytes.subarray(0, bytes.length >> 1)],
    [
      'cut at the last member boundary, which gzip -t passes',
      (bytes) => bytes.subarray(0, memberStarts(bytes).at(-1)),
    ],
    [
      'cut at the first member boundary, which gzip -t passes',
      (bytes) => bytes.subarray(0, memberStarts(bytes)[1]),
    ],
    // Not where a checksum does not reach: the extra fields that align members.
    ['a bit flipped in the first member', (bytes) => flip(bytes, memberStarts(bytes)[0]! + 64)],
    ['a bit flipped in the last member', (bytes) => flip(bytes, bytes.length - 6)],
    ['a member twice', (bytes) => spliced(bytes, [0, 0, 1])],
    [
      'members in another order, the last one first',
      (bytes) =>
        spliced(
          bytes,
          memberStarts(bytes).map((_, i, all) => (i + all.length - 1) % all.length),
        ),
    ],
    ['rubbish behind it', (bytes) => Buffer.concat([bytes, Buffer.from('rubbish')])],
    ['a second archive behind it', (bytes) => Buffer.concat([bytes, bytes])],
  ];
  const flip = (bytes: Buffer, index: number) => {
    const copy = Buffer.from(bytes);
    copy[index]! ^= 0x10;
    return copy;
  };
  const spliced = (bytes: Buffer, order: number[]) => {
    const starts = [...memberStarts(bytes), bytes.length];
    const members = starts.slice(0, -1).map((start, i) => bytes.subarray(start, starts[i + 1]));
    return Buffer.concat([...order.map((i) => members[i]!), ...members.slice(order.length)]);
  };

  test.each(cuts)('with a manifest: %s (fault 24)', async (_, change) => {
    expect(await refusal(damaged(change, true))).toMatchObject({ exitCode: 5 });
  });

  test.each(cuts)('without one: %s (fault 24)', async (_, change) => {
    const error = await refusal(damaged(change, false));
    expect(['ArchiveCorrupt', 'RestoreRefused']).toContain(error.reason);
  });

  test('a manifest that is cut, flipped, or of another archive', async () => {
    const archive = damaged((bytes) => bytes, true);
    const manifest = fs.readFileSync(`${archive}.manifest`);
    const bads = [
      manifest.subarray(0, 100),
      manifest.subarray(0, manifest.length - 16),
      flip(manifest, 40),
      flip(manifest, manifest.length - 30),
    ];
    for (const bad of bads) {
      fs.writeFileSync(`${archive}.manifest`, bad);
      expect(await refusal(archive)).toMatchObject({ exitCode: 5 });
    }
    fs.cpSync(path.join(made, 'source'), at('source'), { recursive: true });
    fs.writeFileSync(at('source/file-0'), 'as long as'.padEnd(4000));
    fs.copyFileSync(`${await backup(at('source'))}.manifest`, `${archive}.manifest`);
    expect(await refusal(archive)).toMatchObject({ exitCode: 5 });
    // Told so, it goes by the archive alone.
    expect(await restore(options(archive, { ignoreManifest: true }))).toMatchObject({
      outcome: 'restored',
      against: 'structure',
    });
  });

  test('members of another archive, sound in themselves', async () => {
    const other = gzipSync(Buffer.concat([rawEntry({ name: './file-0', content: 'forged' })]));
    const archive = damaged((bytes) => {
      const starts = memberStarts(bytes);
      return Buffer.concat([bytes.subarray(0, starts[1]), other, bytes.subarray(starts[1])]);
    }, false);
    expect(await refusal(archive)).toMatchObject({
      reason: 'RestoreRefused',
      message: expect.stringMatching(/occurs twice/),
    });
  });

  const root: RawEntry = { name: './', type: '5', mode: 0o755 };
  test.each<[string, RawEntry[], RegExp]>([
    ['dot-dot', [{ name: '../secret', content: 'x' }], /"\.\."/],
    ['dot-dot inside', [{ name: './a/../../secret', content: 'x' }], /"\.\."/],
    ['absolute', [{ name: '/tmp/km-restore-escape', content: 'x' }], /absolute/],
    [
      'through a symlink',
      [
        { name: './d', type: '2', link: '..' },
        { name: './d/secret', content: 'x' },
      ],
      /lies below/,
    ],
    [
      'through a chain',
      [
        { name: './a', type: '2', link: '.' },
        { name: './a/b', type: '2', link: '..' },
        { name: './b/secret' },
      ],
      /lies below/,
    ],
    [
      'over a symlink',
      [
        { name: './f', type: '2', link: '../secret' },
        { name: './f', content: 'x' },
      ],
      /occurs twice/,
    ],
    ['hard link outside', [{ name: './f', type: '1', link: '../secret' }], /"\.\."/],
    ['hard link by an absolute path', [{ name: './f', type: '1', link: '/etc/passwd' }], /absolute/],
    [
      'hard link through a symlink',
      [
        { name: './d', type: '2', link: '..' },
        { name: './f', type: '1', link: 'd/secret' },
      ],
      /not an earlier file/,
    ],
    ['a device', [{ name: './null', type: '3' }], /--skip-devices/],
    ['a file twice', [{ name: './f' }, { name: './f' }], /occurs twice/],
    [
      'a long name',
      [
        { name: `./${'x'.repeat(98)}` },
        { name: '././@LongLink', type: 'L', content: `${'y'.repeat(300)}\0` },
        { name: 'y' },
      ],
      /names of 300 bytes/,
    ],
  ])('%s (faults 25, 26)', async (_, entries, why) => {
    const error = await refusal(hostile(root, ...entries));
    expect(error).toMatchObject({ reason: 'RestoreRefused', message: expect.stringMatching(why) });
    expect(fs.existsSync('/tmp/km-restore-escape')).toBe(false);
  });

  test('setuid files lose the bit, and are named (fault 26)', async () => {
    const archive = hostile(root, { name: './s', mode: 0o4755 }, { name: './g', mode: 0o2755 });
    expect(await restore(options(archive))).toMatchObject({
      warnings: { count: 2, samples: [expect.stringMatching(/^s: setuid/), expect.stringMatching(/^g: /)] },
    });
    expect(fs.lstatSync(at('target/s')).mode & 0o7777).toBe(0o755);
    await rollbackRestore(at('target'));
    await restore(options(archive, { policy: { preserveSetid: true, skipDevices: false } }));
    expect(fs.lstatSync(at('target/s')).mode & 0o7777).toBe(0o4755);
  });

  test('devices are left out when told so (fault 26)', async () => {
    const archive = hostile(root, { name: './null', type: '3' }, { name: './f', content: 'x' });
    const report = await restore(options(archive, { policy: { preserveSetid: false, skipDevices: true } }));
    expect(report).toMatchObject({ warnings: { count: 1, samples: ['null: left out: it is a device'] } });
    expect(fs.readdirSync(at('target'))).toEqual(['f']);
  });

  test('a header that claims more than follows (fault 27)', async () => {
    const archive = at('archives', 'km-backup-bomb.tgz');
    const zeros = Buffer.alloc(16 * 1024 * 1024);
    fs.writeFileSync(
      archive,
      gzipSync(Buffer.concat([rawEntry({ name: './bomb', size: 2 ** 32 - 1 }), zeros])),
    );
    expect(await refusal(archive)).toMatchObject({ reason: 'ArchiveCorrupt' });
  });

  test('a bomb: a member that unpacks to more than its manifest says, every digest right (fault 27)', async () => {
    const archive = at('archives', 'km-backup-20260303T000000Z.tgz');
    const bomb = gzipSync(Buffer.alloc(300 * 1024 * 1024), { level: 1 });
    fs.writeFileSync(archive, bomb);
    const chunks: Uint8Array[] = [];
    const sink = {
      position: 0,
      append(bytes: Uint8Array) {
        chunks.push(bytes);
        sink.position += bytes.length;
      },
    };
    const writer = new ManifestWriter(sink);
    const lines = encodeEntry({
      ...{ path: fromText(''), type: 'directory', mode: 0o755, uid: 0, gid: 0, size: 0 },
      ...{ mtime: '0', ctime: '0', ino: '1' },
    });
    const sha256 = hash('sha256', bomb, 'hex');
    writer.add({ kind: 'group', offset: 0, size: bomb.length, rawSize: 1024, sha256 }, lines);
    writer.finish({
      ...readSummary(`${good}.manifest`)!,
      ...{
        archive: path.basename(archive),
        sizeBytes: bomb.length,
        sha256,
        members: 1,
        entries: 1,
        files: 0,
      },
    });
    fs.writeFileSync(`${archive}.manifest`, Buffer.concat(chunks));
    const memory = process.memoryUsage().rss;
    expect(await refusal(archive)).toMatchObject({
      reason: 'ArchiveCorrupt',
      message: expect.stringMatching(/damaged/),
    });
    expect(process.memoryUsage().rss - memory).toBeLessThan(200 * 1024 * 1024);
  });

  test('a process that writes below the target, or stands in it (fault 29)', async () => {
    const users = [
      ['exec 3>>live; echo ready; read x', /sh \(pid \d+\) stands in/, at('target')],
      [`exec 3>>${at('target/live')}; echo ready; read x`, /sh \(pid \d+\) writes .*live/, '/'],
    ] as const;
    for (const [script, why, cwd] of users) {
      const child = spawn('sh', ['-c', script], { cwd, stdio: ['pipe', 'pipe', 'inherit'] });
      await once(child.stdout, 'data');
      expect(await refusal(good)).toMatchObject({
        reason: 'TargetUnavailable',
        message: expect.stringMatching(why),
      });
      child.stdin.end();
      await once(child, 'exit');
    }
    const reader = spawn('sh', ['-c', `exec 3<${at('target/live')}; echo ready; read x`], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(reader.stdout, 'data');
    expect(await restore(options(good))).toMatchObject({ outcome: 'restored' });
    reader.stdin.end();
    await once(reader, 'exit');
  });

  test('an abort leaves no trace', async () => {
    const controller = new AbortController();
    const failpoint = (name: string) => {
      if (name === 'unpack') controller.abort(new Error('stopped'));
    };
    await expect(restore(options(good, { signal: controller.signal, failpoint }))).rejects.toThrow('stopped');
    expect(describeTree(at('target'))).toEqual(live);
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'secret', 'target']);
  });

  test('a target that is not a directory, and what is missing', async () => {
    await expect(restore(options(good, { target: at('secret') }))).rejects.toThrow(/is not a directory/);
    await expect(restore(options(good, { target: '/' }))).rejects.toThrow(/root of the file system/);
    await expect(restore(options(good, { target: at('none/deeper') }))).rejects.toThrow(/does not exist/);
    await expect(restore(options(at('archives/none.tgz')))).rejects.toMatchObject({
      reason: 'ArchiveMissing',
    });
  });

  test('gzip -t indeed passes a cut at a member boundary', () => {
    const archive = damaged((bytes) => bytes.subarray(0, memberStarts(bytes).at(-1)), false);
    execFileSync('gzip', ['-t', archive]);
    expect(gunzipSync(fs.readFileSync(archive)).length).toBeGreaterThan(0);
  });
});
