import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import fc from 'fast-check';
import { list } from 'tar';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ByteString } from '../../src/archive/format/byte-string.ts';
import type { Entry } from '../../src/archive/format/entry.ts';
import { listEntries } from '../../src/archive/restore/list-entries.ts';
import { verifyArchive } from '../../src/archive/verify/verify.ts';
import { dataExtents } from '../../src/posix/extents.ts';
import { makeFifo } from '../../src/posix/fifo.ts';
import { FileLock } from '../../src/posix/file-lock.ts';
import { setTimes } from '../../src/posix/times.ts';
import { setXattr } from '../../src/posix/xattr.ts';
import { program, Sandbox } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
});
afterEach(() => box[Symbol.dispose]());

async function entriesOf(archive: string): Promise<Map<string, Entry>> {
  const entries = new Map<string, Entry>();
  await listEntries(archive, (entry) => entries.set(entry.path, entry));
  return entries;
}

describe('round trip through GNU tar', () => {
  const name = fc
    .oneof(
      fc.uint8Array({ minLength: 1, maxLength: 30 }),
      fc.constantFrom('a', '-rf', 'x\ny', 'ünï', '$(id)', ' ').map((text) => Buffer.from(text)),
      fc.nat(150).map((length) => Buffer.alloc(length + 100, 'n')),
    )
    .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte))))
    .filter((bytes) => !['.', '..'].includes(bytes.toString('latin1')));
  const content = fc.oneof(
    // Mostly small, so that a tree of many files takes seconds also on a busy machine.
    {
      weight: 4,
      arbitrary: fc
        .uint8Array({ maxLength: 2000 })
        .map((bytes) => ({ bytes: Buffer.from(bytes), size: bytes.length })),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(511, 512, 513, 1 << 20, (4 << 20) + 1, 9 << 20)
        .map((size) => ({ bytes: Buffer.alloc(size, 'abc'), size })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.nat(3000), fc.nat(100))
        .map(([kib, tail]) => ({ bytes: Buffer.from('x'), size: kib * 4096 + tail + 1 })),
    },
  );
  const node = fc.record({
    directory: fc.nat(5),
    name,
    kind: fc.constantFrom('file', 'file', 'file', 'directory', 'symlink', 'hardlink', 'fifo'),
    content,
    mode: fc.nat(0o7777),
    uid: fc.nat(70_000),
    mtime: fc.bigInt({ min: -(10n ** 18n), max: 4n * 10n ** 18n }),
    attribute: fc.option(fc.uint8Array({ maxLength: 50 })),
    target: name,
  });

  /** Symlinks have no mode on Linux, and user attributes belong to files and directories only. */
  function build(
    root: string,
    nodes: readonly (typeof node extends fc.Arbitrary<infer T> ? T : never)[],
  ): void {
    const directories: Buffer[] = [Buffer.from(root)];
    const files: Buffer[] = [];
    const finish: (() => void)[] = [];
    for (const item of nodes) {
      const at = Buffer.concat([
        directories[item.directory % directories.length]!,
        Buffer.from('/'),
        item.name,
      ]);
      if (fs.lstatSync(at, { throwIfNoEntry: false })) continue;
      const times = () => setTimes(at, item.mtime, item.mtime);
      if (item.kind === 'symlink') {
        fs.symlinkSync(item.target, at);
        fs.lchownSync(at, item.uid, item.uid);
      } else if (item.kind === 'hardlink') {
        const [first] = files;
        if (first) fs.linkSync(first, at);
        continue;
      } else {
        if (item.kind === 'directory') {
          fs.mkdirSync(at);
          directories.push(at);
        } else if (item.kind === 'fifo') makeFifo(at, 0o600);
        else {
          const { bytes, size } = item.content;
          const fd = fs.openSync(at, 'wx');
          fs.writeSync(fd, bytes, 0, bytes.length, size - bytes.length);
          fs.closeSync(fd);
          files.push(at);
        }
        if (item.attribute && item.kind !== 'fifo') setXattr(at, 'user.km', item.attribute);
        fs.chownSync(at, item.uid, item.uid + 1);
        finish.push(() => fs.chmodSync(at, item.mode));
      }
      finish.push(times);
    }
    for (const step of finish.reverse()) step();
  }

  test('any tree comes back the same, byte for byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(node, { minLength: 1, maxLength: 40 }), async (nodes) => {
        using tree = new Sandbox();
        build(tree.source, nodes);
        const before = describeTree(tree.source);
        const { result } = await tree.back({ allowEmpty: true });
        expect(result.outcome).toBe('Succeeded');
        expect(describeTree(tree.untar(result.archive!.path))).toEqual(before);
        expect(await verifyArchive(result.archive!.path, { deep: true })).toMatchObject({
          sound: true,
          problem: undefined,
        });
        // The same once more, now out of the first archive where that may be reused.
        const again = await tree.back({ allowEmpty: true });
        expect(again.result.archive?.sha256).toBe(result.archive!.sha256);
      }),
      { numRuns: 6 },
    );
  });

  test('holes stay holes', async () => {
    const file = box.write('sparse', '');
    fs.truncateSync(file, 64 << 20);
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, Buffer.alloc(8192, 1), 0, 8192, 32 << 20);
    fs.closeSync(fd);
    const { result } = await box.back();
    const back = fs.statSync(path.join(box.untar(result.archive!.path), 'sparse'));
    expect(back.size).toBe(64 << 20);
    expect(back.blocks * 512).toBeLessThan(1 << 20);
    expect(describeTree(box.untar(result.archive!.path))).toEqual(describeTree(box.source));
  });

  test('a file of 9 GiB with holes comes back by tar and by restore, holes and all', async () => {
    const size = 9 * 2 ** 30;
    const data = ([0, 5_000_000_000, size - 7] as const).map((offset) => ({
      offset,
      text: `at ${offset}`.slice(0, 7),
    }));
    const fd = fs.openSync(path.join(box.source, 'disk.img'), 'w');
    fs.ftruncateSync(fd, size);
    for (const { offset, text } of data) fs.writeSync(fd, text, offset, 'latin1');
    fs.closeSync(fd);
    const { result } = await box.back();
    expect(result.outcome).toBe('Succeeded');
    const restored = path.join(box.root, 'restored');
    execFileSync(program, ['restore', result.archive!.path, restored]);
    for (const directory of [box.untar(result.archive!.path), restored]) {
      const copy = fs.openSync(path.join(directory, 'disk.img'), 'r');
      const extents = dataExtents(copy, size);
      // What the kernel calls a hole reads as zeros; the data is little enough to read.
      const content = extents.flatMap(({ offset, length }) => {
        const bytes = Buffer.alloc(length);
        fs.readSync(copy, bytes, 0, length, offset);
        return [...bytes.toString('latin1').matchAll(/[^\0]+/g)].map((match) => ({
          offset: offset + match.index,
          text: match[0],
        }));
      });
      expect(fs.fstatSync(copy).size).toBe(size);
      expect(extents.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(1_000_000);
      expect(content).toEqual(data);
      fs.closeSync(copy);
    }
  });

  test('paths beyond PATH_MAX', async () => {
    const script = `import os,sys
os.chdir(sys.argv[1])
for i in range(40):
    os.mkdir('d'*200); os.chdir('d'*200)
open('deep','w').write('here')`;
    execFileSync('python3', ['-c', script, box.source]);
    const { result } = await box.back();
    expect(result).toMatchObject({ outcome: 'Succeeded', archive: { entries: 42, files: 1 } });
    const found = execFileSync('sh', ['-c', 'tar -xzOf "$0" --wildcards "*/deep"', result.archive!.path], {
      encoding: 'utf8',
    });
    expect(found).toBe('here');
  });

  test('Python and node-tar read it too, with the same names, sizes and types', async () => {
    box.write('dir/file', 'x');
    box.write('é'.repeat(90), 'long');
    fs.symlinkSync('nowhere', path.join(box.source, 'link'));
    fs.linkSync(path.join(box.source, 'dir/file'), path.join(box.source, 'hard'));
    const { result } = await box.back();
    const script = `import tarfile,sys,json
print(json.dumps(sorted([m.name,m.size,m.type.decode(),m.linkname] for m in tarfile.open(sys.argv[1]))))`;
    expect(
      JSON.parse(execFileSync('python3', ['-c', script, result.archive!.path], { encoding: 'utf8' })),
    ).toEqual([
      ['.', 0, '5', ''],
      ['./dir', 0, '5', ''],
      ['./dir/file', 1, '0', ''],
      ['./hard', 0, '1', './dir/file'],
      ['./link', 0, '2', 'nowhere'],
      [`./${'é'.repeat(90)}`, 4, '0', ''],
    ]);
    const read: unknown[] = [];
    await list({
      file: result.archive!.path,
      strict: true,
      onReadEntry: (entry) => read.push([entry.path, entry.size, entry.type, entry.linkpath ?? '']),
    });
    expect(read).toEqual([
      ['./', 0, 'Directory', ''],
      ['./dir/', 0, 'Directory', ''],
      ['./dir/file', 1, 'File', ''],
      ['./hard', 0, 'Link', './dir/file'],
      ['./link', 0, 'SymbolicLink', 'nowhere'],
      [`./${'é'.repeat(90)}`, 4, 'File', ''],
    ]);
  });
});

describe('the source', () => {
  test('missing: fails, nothing appears', async () => {
    const { result, exitCode } = await box.back({ source: path.join(box.root, 'none') });
    expect([exitCode, result.outcome, result.reason]).toEqual([1, 'Failed', 'SourceMissing']);
    expect(box.names()).toEqual(['.km-backup.lock']);
  });

  test('without files, as a volume that is not mounted: fails unless allowed', async () => {
    expect((await box.back()).result.reason).toBe('SourceEmpty');
    fs.mkdirSync(path.join(box.source, 'lost+found'));
    const inside = path.join(box.source, 'backups/archives');
    expect((await box.back()).result.reason).toBe('SourceEmpty');
    expect((await box.back({ destination: inside })).result.reason).toBe('SourceEmpty');
    expect(box.names()).toEqual(['.km-backup.lock']);
    expect((await box.back({ allowEmpty: true })).result.outcome).toBe('Succeeded');
  });

  test('unreadable files and directories are named, and the run is not clean', () => {
    box.write('open', 'yes');
    fs.chmodSync(box.write('secret', 'no'), 0);
    fs.mkdirSync(path.join(box.source, 'closed'), { mode: 0o700 });
    fs.mkdirSync(box.destination);
    fs.chmodSync(box.root, 0o755);
    fs.chownSync(box.destination, 65534, 65534);
    const file = path.join(box.destination, 'result.json');
    const run = spawnSync(
      program,
      ['create', '--source', box.source, '--destination', box.destination, '--result-file', file],
      { uid: 65534, gid: 65534, encoding: 'utf8' },
    );
    expect([run.status, run.stderr]).toEqual([
      3,
      expect.stringContaining('./secret: cannot be read (EACCES)'),
    ]);
    const result = JSON.parse(fs.readFileSync(file, 'utf8'));
    expect(result).toMatchObject({
      outcome: 'Incomplete',
      reason: 'FilesNotCaptured',
      warnings: { count: 2 },
    });
    expect(fs.readdirSync(box.untar(result.archive.path)).sort()).toEqual(['closed', 'open']);
  });

  test('sockets are skipped and counted, FIFOs and devices never opened', async () => {
    box.write('file', 'x');
    execFileSync('mkfifo', [path.join(box.source, 'fifo')]);
    execFileSync('mknod', [path.join(box.source, 'null'), 'c', '1', '3']);
    const server = net.createServer().listen(path.join(box.source, 'socket'));
    const { result } = await box.back();
    server.close();
    expect(result.outcome).toBe('Succeeded');
    const entries = await entriesOf(result.archive!.path);
    expect([...entries.keys()]).toEqual(['', 'fifo', 'file', 'null']);
    expect(entries.get('null')).toMatchObject({ type: 'character', device: [1, 3] });
  });

  test('the destination inside it is left out, also below another mount of it', async () => {
    box.write('state/file', 'x');
    const inside = path.join(box.source, 'backups/archives');
    const mount = path.join(box.root, 'mount');
    fs.mkdirSync(mount);
    execFileSync('mount', ['--bind', box.source, mount]);
    try {
      await box.back({ destination: inside });
      const { result } = await box.back({ destination: path.join(mount, 'backups/archives') });
      expect([...(await entriesOf(result.archive!.path)).keys()]).toEqual([
        '',
        'backups',
        'state',
        'state/file',
      ]);
    } finally {
      execFileSync('umount', [mount]);
    }
  });

  test('where source and destination are one directory, only what km-backup wrote is left out', async () => {
    box.write('file', 'x');
    await box.back({ destination: box.source });
    const { result } = await box.back({ destination: box.source });
    expect([...(await entriesOf(result.archive!.path)).keys()]).toEqual(['', 'file']);
  });

  test('patterns', async () => {
    for (const name of ['a.log', 'keep/a.txt', 'cache/x', 'deep/cache/y', 'deep/$(id).txt'])
      box.write(name, 'x');
    const excluding = await box.back({ exclude: ['*.log', 'cache/', '$(id)*'] });
    expect([...(await entriesOf(excluding.result.archive!.path)).keys()]).toEqual([
      '',
      'deep',
      'keep',
      'keep/a.txt',
    ]);
    const including = await box.back({ include: ['keep/', '*.log'] });
    expect([...(await entriesOf(including.result.archive!.path)).keys()]).toEqual([
      '',
      'a.log',
      'keep',
      'keep/a.txt',
    ]);
  });
});

describe('names and locks', () => {
  const at = new Date('2026-11-23T12:00:00.700Z');

  test('the same second twice, and a clock that went back: nothing is overwritten', async () => {
    box.write('file', 'x');
    const runs = [
      await box.back({ now: () => at }),
      await box.back({ now: () => at, compression: 'zstd', level: 3 }),
    ];
    runs.push(await box.back({ now: () => new Date(at.getTime() - 3_600_000), retention: { limit: 1 } }));
    expect(runs.map(({ result }) => result.archive?.name)).toEqual([
      'km-backup-20261123T120000Z.tgz',
      'km-backup-20261123T120001Z.tar.zst',
      'km-backup-20261123T110000Z.tgz',
    ]);
    // The later names are of the future for that clock: they stay.
    expect(runs[2]!.result.present.count).toBe(3);
  });

  test('a destination in use is refused with a status of its own', async () => {
    box.write('file', 'x');
    fs.mkdirSync(box.destination);
    const attempt = FileLock.tryLock(path.join(box.destination, '.km-backup.lock'));
    expect(attempt.acquired).toBe(true);
    const { result, exitCode } = await box.back();
    expect([exitCode, result.outcome, result.reason]).toEqual([4, 'Skipped', 'Locked']);
    if (attempt.acquired) attempt.lock.release();
    expect((await box.back()).exitCode).toBe(0);
  });

  test('leftovers are swept, foreign files are not', async () => {
    box.write('file', 'x');
    fs.mkdirSync(path.join(box.destination, 'km-backup-20200101T000000Z.tgz'), { recursive: true });
    fs.symlinkSync('elsewhere', path.join(box.destination, 'km-backup-20200102T000000Z.tgz'));
    for (const name of [
      '.km-backup-dead.tmp',
      'km-backup-20200103T000000Z.tgz.manifest',
      'notes.txt',
      'other.tgz',
    ]) {
      fs.writeFileSync(path.join(box.destination, name), '');
    }
    const { result } = await box.back({ now: () => at, retention: { limit: 1 } });
    expect(result.pruned.count).toBe(0);
    expect(box.names()).toEqual([
      '.km-backup.lock',
      'km-backup-20200101T000000Z.tgz',
      'km-backup-20200102T000000Z.tgz',
      result.archive!.name,
      `${result.archive!.name}.manifest`,
      'notes.txt',
      'other.tgz',
    ]);
  });

  test('damaged archives do not count, other series are left alone', async () => {
    box.write('file', 'x'.repeat(5000));
    const day = (number: number) => () => new Date(Date.UTC(2026, 0, number));
    const [first, second, third] = [
      await box.back({ now: day(1) }),
      await box.back({ now: day(2) }),
      await box.back({ now: day(3) }),
    ];
    await box.back({ now: day(1), series: 'other' });
    fs.truncateSync(third.result.archive!.path, 100);
    const last = await box.back({ now: day(4), retention: { limit: 2 } });
    expect(last.result.pruned.names).toEqual([first.result.archive!.name]);
    expect(last.result.present.names).toEqual(
      [last, third, second].map(({ result }) => result.archive!.name),
    );
    expect(box.names().filter((name) => name.endsWith('.tgz'))).toHaveLength(4);
  });

  test('a failed run prunes nothing', async () => {
    box.write('file', 'x');
    await box.back({ now: () => new Date(0) });
    await box.back({ now: () => new Date(86_400_000) });
    fs.rmSync(box.source, { recursive: true });
    const before = box.names();
    expect((await box.back({ retention: { limit: 1, maxAgeMs: 1 } })).exitCode).toBe(1);
    expect(box.names()).toEqual(before);
  });
});

test('what ls prints of hostile names is escaped', async () => {
  box.write('a\u001b[31m\nb', 'x');
  const { result } = await box.back();
  const out = execFileSync(program, ['ls', result.archive!.path], { encoding: 'utf8' });
  expect(out).toContain('./a\\x1b[31m\\nb');
  expect((await entriesOf(result.archive!.path)).get('a\u001b[31m\nb' as ByteString)?.size).toBe(1);
});

describe('promise 4', () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('run' as const), limit: fc.integer({ min: 1, max: 3 }) }),
    },
    fc.record({ do: fc.constant('fail' as const), limit: fc.constant(1) }),
    fc.record({ do: fc.constant('damage' as const), limit: fc.constant(1) }),
    fc.record({ do: fc.constant('prune' as const), limit: fc.constant(1) }),
  );

  test('whatever runs, failures, damage and prunes there were, the newest verified archive is there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 10 }), async (steps) => {
        using own = new Sandbox();
        own.write('file', 'content');
        /** Verified archives, the oldest first; those damaged since are not in it. */
        let good: string[] = [];
        for (const [day, { do: what, limit }] of steps.entries()) {
          const now = () => new Date(Date.UTC(2026, 0, 1 + day));
          switch (what) {
            case 'run': {
              const { result } = await own.back({ now, retention: { limit } });
              expect(result.outcome).toBe('Succeeded');
              good.push(result.archive!.path);
              break;
            }
            case 'fail':
              await own.back({ now, retention: { limit }, source: path.join(own.root, 'none') });
              break;
            case 'damage': {
              const victim = good.length > 1 ? good.at(-1)! : undefined;
              if (victim) fs.truncateSync(victim, 10);
              good = good.filter((archive) => archive !== victim);
              break;
            }
            case 'prune':
              if (!fs.existsSync(own.destination)) break;
              execFileSync(program, [
                'prune',
                '--destination',
                own.destination,
                '--retention-limit',
                String(limit),
              ]);
              break;
          }
          const newest = good.at(-1);
          if (newest) expect(await verifyArchive(newest, { deep: false })).toMatchObject({ sound: true });
          good = good.filter((archive) => fs.existsSync(archive));
        }
      }),
      { numRuns: 6 },
    );
  });
});
