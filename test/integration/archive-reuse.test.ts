import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { CreateJobs } from '../../src/archive/create/jobs.ts';
import { Packer } from '../../src/archive/create/pack.ts';
import { groupItem, packGroup } from '../../src/archive/create/pack-member.ts';
import { Selection } from '../../src/archive/create/selection.ts';
import { SourceRoot } from '../../src/archive/create/source-root.ts';
import { Walk } from '../../src/archive/create/walk.ts';
import { formatWarning, type Warning } from '../../src/archive/create/warning.ts';
import { GrowingFile } from '../../src/archive/destination/growing-file.ts';
import type { ByteString } from '../../src/archive/format/byte-string.ts';
import { readManifest } from '../../src/archive/format/manifest-reader.ts';
import { ManifestWriter } from '../../src/archive/format/manifest-writer.ts';
import { WorkerPool } from '../../src/archive/pool/worker-pool.ts';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { Sandbox } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
  box.clockAheadMs = 2_100;
});
afterEach(() => box[Symbol.dispose]());

const part = 4 * 1024 * 1024;

function fill(): void {
  for (let index = 0; index < 300; index++)
    box.write(`dir${index % 5}/file-${index}`, `content ${index} `.repeat(index));
  box.write('large', Buffer.alloc(3 * part + 5, 'large'));
}

async function latestEqualsSource(run: Awaited<ReturnType<Sandbox['back']>>): Promise<void> {
  const { archive } = run.result;
  expect(describeTree(box.untar(archive!.path))).toEqual(describeTree(box.source));
  expect(await verifyArchive(archive!.path, { deep: true })).toMatchObject({ sound: true });
}

describe('a repeat run', () => {
  test('copies what did not change; the result is what a full run writes', async () => {
    fill();
    const first = await box.back();
    expect(first.result.archive?.reusedBytes).toBe(0);
    const second = await box.back();
    const { sizeBytes, reusedBytes, sha256 } = second.result.archive!;
    expect(sha256).toBe(first.result.archive!.sha256);
    // All but the end marker.
    expect(sizeBytes - reusedBytes).toBeLessThan(100);

    box.write('dir2/file-17b', 'new');
    fs.rmSync(path.join(box.source, 'dir3/file-3'));
    box.write('dir1/file-101', 'changed');
    const third = await box.back();
    const changed = third.result.archive!;
    expect(changed.reusedBytes).toBeGreaterThan(changed.sizeBytes * 0.5);
    expect(changed.reusedBytes).toBeLessThan(changed.sizeBytes);
    await latestEqualsSource(third);
    const full = await box.back({ full: true });
    expect(full.result.archive).toMatchObject({ reusedBytes: 0, sha256: changed.sha256 });
  });

  test('of a large file only the changed slices are compressed anew', async () => {
    fill();
    const first = await box.back();
    const fd = fs.openSync(path.join(box.source, 'large'), 'r+');
    fs.writeSync(fd, Buffer.from('!'), 0, 1, part + 7);
    fs.closeSync(fd);
    const second = await box.back();
    const parts = async (archive: string) => {
      const digests: string[] = [];
      for await (const { member } of readManifest(`${archive}.manifest`)) {
        if (member.kind === 'part') digests.push(member.sha256);
      }
      return digests;
    };
    const before = await parts(first.result.archive!.path);
    const after = await parts(second.result.archive!.path);
    expect(after.map((digest, index) => digest === before[index])).toEqual([true, false, true, true]);
    await latestEqualsSource(second);
  });

  test.each<[string, (source: string) => void]>([
    ['mode', (source) => fs.chmodSync(path.join(source, 'dir1/file-1'), 0o600)],
    ['owner', (source) => fs.chownSync(path.join(source, 'dir1/file-1'), 7, 7)],
    ['mtime', (source) => fs.utimesSync(path.join(source, 'dir1/file-1'), 1, 1)],
    [
      'same size and mtime',
      (source) => {
        const file = path.join(source, 'dir1/file-6');
        const { atime, mtime } = fs.statSync(file);
        fs.writeFileSync(file, 'CONTENT 6 '.repeat(6));
        fs.utimesSync(file, atime, mtime);
      },
    ],
    [
      'replaced by another inode',
      (source) => {
        fs.writeFileSync(path.join(source, 'dir1/new'), 'x'.repeat(10));
        fs.renameSync(path.join(source, 'dir1/new'), path.join(source, 'dir1/file-1'));
      },
    ],
    [
      'a further hard link, sorted before',
      (source) => fs.linkSync(path.join(source, 'dir1/file-1'), path.join(source, 'a')),
    ],
    ['the first of two hard links removed', (source) => fs.rmSync(path.join(source, 'dir0/h'))],
    [
      'a symlink turned',
      (source) => {
        fs.rmSync(path.join(source, 'dir0/link'));
        fs.symlinkSync('other', path.join(source, 'dir0/link'));
      },
    ],
    [
      'an attribute',
      (source) =>
        execFileSync('python3', [
          '-c',
          'import os,sys; os.setxattr(sys.argv[1], "user.x", b"1")',
          path.join(source, 'dir1/file-1'),
        ]),
    ],
  ])('sees a change: %s', async (_, change) => {
    fill();
    fs.symlinkSync('one', path.join(box.source, 'dir0/link'));
    fs.linkSync(path.join(box.source, 'dir4/file-4'), path.join(box.source, 'dir0/h'));
    await box.back();
    change(box.source);
    await latestEqualsSource(await box.back());
  });

  test('files written just before the previous run are read again', async () => {
    box.clockAheadMs = 0;
    for (let index = 0; index < 50; index++) box.write(`file-${index}`, 'x');
    await box.back();
    expect((await box.back()).result.archive?.reusedBytes).toBe(0);
  });

  test('rot in the previous archive does not travel on', async () => {
    fill();
    const first = await box.back();
    const old = first.result.archive!.path;
    const fd = fs.openSync(old, 'r+');
    const byte = Buffer.alloc(1);
    for (const at of [5000, fs.statSync(old).size - 2000]) {
      fs.readSync(fd, byte, 0, 1, at);
      byte[0]! ^= 0x10;
      fs.writeSync(fd, byte, 0, 1, at);
    }
    fs.closeSync(fd);
    const second = await box.back();
    expect(second.result.outcome).toBe('Succeeded');
    expect(second.result.message).toContain(`2 damaged piece(s) of ${first.result.archive!.name}`);
    await latestEqualsSource(second);
    expect(await verifyArchive(old, { deep: false })).toMatchObject({ sound: false });
  });

  test('another series, level or compression starts afresh', async () => {
    fill();
    await box.back({ series: 'a' });
    for (const options of [
      { series: 'b' },
      { series: 'a', level: 6 },
      { series: 'a', compression: 'zstd', level: 3 } as const,
    ]) {
      expect((await box.back(options)).result.archive?.reusedBytes).toBe(0);
    }
  });
});

describe('a source that changes while it is read', () => {
  /** What the walk saw, then something happens before a worker opens it. */
  function afterListing(change: () => void): string[] {
    const warnings: Warning[] = [];
    using source = new SourceRoot(box.source, undefined);
    const root = source.fd;
    const walk = new Walk({ root, selection: new Selection({}), warn: (warning) => warnings.push(warning) });
    const items = [...walk].map(groupItem);
    change();
    const packed = packGroup({ root, items, settings: { compression: 'gzip', level: 5 } });
    return [...warnings, ...packed.warnings].map(formatWarning);
  }

  test.each<[string, () => void, string[]]>([
    ['grows', () => fs.appendFileSync(path.join(box.source, 'b'), 'more'), []],
    ['shrinks', () => fs.truncateSync(path.join(box.source, 'b'), 1), []],
    ['vanishes', () => fs.rmSync(path.join(box.source, 'b')), ['./b: vanished after it was listed']],
    [
      'becomes a symlink',
      () => {
        fs.rmSync(path.join(box.source, 'b'));
        fs.symlinkSync('/etc/passwd', path.join(box.source, 'b'));
      },
      ['./b: was replaced, or a directory above it was, after it was listed'],
    ],
    [
      'becomes a FIFO',
      () => {
        fs.rmSync(path.join(box.source, 'b'));
        execFileSync('mkfifo', [path.join(box.source, 'b')]);
      },
      ['./b: was replaced by something that is not a file'],
    ],
  ])('a file %s after it was listed', (_, change, expected) => {
    for (const name of ['a', 'b', 'c']) box.write(name, name.repeat(100));
    expect(afterListing(change)).toEqual(expected);
  });

  /** Runs jobs with something happening before each. */
  class MeddlingPool extends WorkerPool<CreateJobs> {
    readonly before: (kind: string) => void;
    constructor(before: (kind: string) => void) {
      super(2);
      this.before = before;
    }
    override run<K extends keyof CreateJobs>(kind: K, input: Parameters<CreateJobs[K]>[0]) {
      this.before(kind);
      return super.run(kind, input);
    }
  }

  async function pack(before: (kind: string) => void): Promise<{ warnings: string[]; archive: string }> {
    const archive = new GrowingFile(path.join(box.root, 'out.tgz'));
    const manifest = new GrowingFile(path.join(box.root, 'out.manifest'));
    const warnings: string[] = [];
    const warn = (warning: Warning) => warnings.push(formatWarning(warning));
    using source = new SourceRoot(box.source, undefined);
    const root = source.fd;
    await using pool = new MeddlingPool(before);
    const packer = new Packer({
      root,
      archive,
      manifest: new ManifestWriter(manifest),
      pool,
      settings: { compression: 'gzip', level: 1 },
      previous: undefined,
      signal: undefined,
      warn,
      corrupt: () => {},
      progress: () => {},
      failpoint: () => {},
    });
    await packer.pack(new Walk({ root, selection: new Selection({}), warn }));
    archive.close();
    manifest.close();
    return { warnings, archive: archive.path };
  }

  test('a large file that settles is read again and stored whole', async () => {
    const file = box.write('large', Buffer.alloc(2 * part, 'a'));
    let meddling = 5;
    const { warnings, archive } = await pack((kind) => {
      if (kind === 'part' && meddling-- > 0) fs.appendFileSync(file, 'tail');
    });
    expect(warnings).toEqual([]);
    expect(describeTree(box.untar(archive))).toEqual(describeTree(box.source));
  });

  test('one that never settles is stored and named; the archive stays sound', async () => {
    const file = box.write('large', Buffer.alloc(2 * part, 'a'));
    box.write('z', 'after it');
    const { warnings, archive } = await pack((kind) => {
      if (kind === 'part') fs.appendFileSync(file, 'tail');
    });
    expect(warnings).toEqual(['./large: changed under every read; the stored content may mix states']);
    expect(fs.readFileSync(path.join(box.untar(archive), 'z'), 'utf8')).toBe('after it');
  });

  test('one that shrinks while it is read is padded and named', async () => {
    const file = box.write('large', Buffer.alloc(3 * part, 'a'));
    let size = 3 * part;
    const { warnings, archive } = await pack((kind) => {
      if (kind === 'part') {
        size -= 1000;
        fs.truncateSync(file, size);
      }
    });
    expect(warnings).toHaveLength(1);
    execFileSync('tar', ['-tzf', archive]);
  });

  test('the first name of a hard link vanishes: the next one holds the content', async () => {
    const first = box.write('a', 'shared');
    for (const name of ['m', 'n']) fs.linkSync(first, path.join(box.source, name));
    let done = false;
    const { warnings, archive } = await pack((kind) => {
      if (kind === 'group' && !done) fs.rmSync(first);
      done = true;
    });
    const back = box.untar(archive);
    expect(warnings).toEqual(['./a: vanished after it was listed']);
    expect(['m', 'n'].map((name) => fs.readFileSync(path.join(back, name), 'utf8'))).toEqual([
      'shared',
      'shared',
    ]);
    expect(fs.statSync(path.join(back, 'm')).ino).toBe(fs.statSync(path.join(back, 'n')).ino);
  });

  test('a small file that outgrows its group becomes a large one', async () => {
    const file = box.write('b', 'small');
    box.write('c', 'after');
    const { warnings, archive } = await pack((kind) => {
      if (kind === 'group') fs.truncateSync(file, 5 * part);
    });
    expect(warnings).toEqual([]);
    expect(fs.statSync(path.join(box.untar(archive), 'b' as ByteString)).size).toBe(5 * part);
  });
});
