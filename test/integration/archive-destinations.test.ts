import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { WorkerPool } from '../../src/archive/pool/worker-pool.ts';
import { listEntries } from '../../src/archive/restore/list-entries.ts';
import { program, Sandbox } from '../support/backup.ts';
import { packWhile } from '../support/packing.ts';

let box: Sandbox;
const at = (name: string) => path.join(box.source, name);
beforeEach(() => {
  box = new Sandbox();
  box.write('data', 'x');
});
afterEach(() => box[Symbol.dispose]());

async function pathsIn(archive: string | undefined): Promise<string[]> {
  const paths: string[] = [];
  await listEntries(archive!, ({ path: each }) => paths.push(each));
  return paths.filter((each) => each !== '');
}

async function backTo(name: string) {
  const { result } = await box.back({ destination: at(name) });
  expect(result.outcome).toBe('Succeeded');
  return { result, paths: await pathsIn(result.archive?.path) };
}

describe('archives hold no archives', () => {
  test('of schedules that write into two folders of one volume', async () => {
    const sizes: number[] = [];
    for (let round = 0; round < 3; round++) {
      for (const name of ['backups/daily', 'backups/weekly']) {
        const { result, paths } = await backTo(name);
        expect(paths).toEqual(['backups', 'data']);
        sizes.push(result.archive!.sizeBytes);
      }
    }
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(200);
  });

  test('of the folder in which they were before, nor where one lies in the other', async () => {
    await backTo('old');
    expect((await backTo('new')).paths).toEqual(['data']);
    expect((await backTo('old/inner')).paths).toEqual(['data', 'old']);
    expect((await backTo('new')).paths).toEqual(['data', 'old']);
    const { result } = await box.back();
    expect(await pathsIn(result.archive?.path)).toEqual(['data', 'old']);
  });

  test('of the source itself, that was the destination once', async () => {
    await box.back({ destination: box.source });
    const { result } = await box.back();
    expect(await pathsIn(result.archive?.path)).toEqual(['data']);
  });

  test("people's own files in such a folder are still packed", async () => {
    await backTo('mixed');
    box.write('mixed/notes.txt', 'mine');
    box.write('mixed/sub/file', 'mine');
    expect((await backTo('other')).paths).toEqual([
      'data',
      'mixed',
      'mixed/notes.txt',
      'mixed/sub',
      'mixed/sub/file',
    ]);
  });

  test('a file of somebody else that is merely called like our lock changes nothing', async () => {
    box.write('app/.km-backup.lock', '{"mine": true}');
    box.write('app/km-backup-of-something.tgz', 'mine');
    box.write('big/.km-backup.lock', 'x'.repeat(5000));
    fs.mkdirSync(at('dir/.km-backup.lock'), { recursive: true });
    fs.mkdirSync(at('link'));
    fs.symlinkSync('../data', at('link/.km-backup.lock'));
    const { result } = await box.back();
    expect(await pathsIn(result.archive?.path)).toEqual([
      'app',
      'app/.km-backup.lock',
      'app/km-backup-of-something.tgz',
      'big',
      'big/.km-backup.lock',
      'data',
      'dir',
      'dir/.km-backup.lock',
      'link',
      'link/.km-backup.lock',
    ]);
  });

  test.each(['', '{"host":"node","pid":7,"since":"2026-01-01T00:00:00.000Z"}\n'])(
    'the lock of another version or of a killed run (%j) counts, and so does what is left out',
    async (lock) => {
      box.write('dest/.km-backup.lock', lock);
      box.write('dest/km-backup-20200101T000000Z.tgz', 'old');
      box.write('sub/.km-backup-0123456789abcdef.tmp', 'left by a killed run');
      const { result } = await box.back();
      expect(await pathsIn(result.archive?.path)).toEqual(['data', 'sub']);
      const summary = spawnSync('sh', [
        '-c',
        'zstd -dc "$0" | tail -n 1',
        `${result.archive!.path}.manifest`,
      ]);
      if (summary.status === 0 && summary.stdout.length > 0)
        expect(JSON.parse(summary.stdout.toString()).summary.excluded).toBe(2);
    },
  );
});

describe('a volume', () => {
  const volumes = () => ({ sourceVolume: box.source, destinationVolume: box.root });

  test.each<[string, () => void, string]>([
    ['an absolute symlink', () => fs.symlinkSync('/etc', at('sub')), 'sub'],
    ['a relative symlink', () => fs.symlinkSync('../..', at('sub')), 'sub'],
    ['a symlink on the way', () => fs.symlinkSync('/etc', at('sub')), 'sub/ssl'],
  ])('a source that %s leads out of it is refused', async (_, make, name) => {
    make();
    const { result, exitCode } = await box.back({ ...volumes(), source: at(name) });
    expect([exitCode, result.reason]).toEqual([1, 'SourceMissing']);
    expect(result.message).toContain('leads out of the volume');
  });

  test('a symlink that stays in it is followed', async () => {
    box.write('releases/2/file', 'x');
    fs.symlinkSync('releases/2', at('current'));
    const { result } = await box.back({ ...volumes(), source: at('current') });
    expect(await pathsIn(result.archive?.path)).toEqual(['file']);
  });

  test.each(['out', 'out/archives/deep'])(
    'a destination that leads out of it is refused: %s',
    async (name) => {
      const outside = path.join(box.root, 'outside');
      fs.mkdirSync(outside);
      fs.symlinkSync(outside, at('out'));
      const { result, exitCode } = await box.back({ destination: at(name), destinationVolume: box.source });
      expect([exitCode, result.reason]).toEqual([1, 'DestinationUnusable']);
      expect(fs.readdirSync(outside)).toEqual([]);
    },
  );
});

describe('what happened is what is said', () => {
  const create = (...more: string[]) =>
    spawnSync(program, ['create', '--source', box.source, '--destination', box.destination, ...more], {
      encoding: 'utf8',
    });

  test('a result file that cannot be written: nothing is started', () => {
    const { status, stderr } = create('--result-file', path.join(box.root, 'none/result.json'));
    expect([status, stderr]).toEqual([2, expect.stringContaining('its directory does not exist')]);
    expect(fs.existsSync(box.destination)).toBe(false);
  });

  test('a result file that fails at the end: the archive is there, and named', () => {
    const { status, stderr, stdout } = create('--result-file', '/dev/full');
    expect(status).toBe(7);
    expect(stderr).toMatch(/The archive .* was written, but the result file was not: .*ENOSPC/);
    expect(stdout).toMatch(/^Backup written to /);
  });

  test('an error while old archives are looked through: the run succeeded', async () => {
    const days = [1, 2].map((day) => () => new Date(Date.UTC(2026, 0, day)));
    await box.back({ now: days[0]! });
    const { result, exitCode } = await box.back({
      now: days[1]!,
      retention: { limit: 1 },
      failpoint: (name) => {
        if (name === 'archive pruned') throw Object.assign(new Error('i/o error'), { code: 'EIO' });
      },
    });
    expect([exitCode, result.outcome]).toEqual([0, 'Succeeded']);
    expect(result.notes).toEqual([expect.stringContaining('Old archives could not be looked through')]);
  });

  test('an error while the directory is synced: a failure that says that the archive is there', async () => {
    const sync = vi.spyOn(fs, 'fsyncSync');
    try {
      const { result, exitCode } = await box.back({
        failpoint: (name) => {
          if (name !== 'archive named') return;
          sync.mockImplementation(() => {
            throw Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' });
          });
        },
      });
      expect([exitCode, result.reason]).toEqual([1, 'WriteFailed']);
      const [name] = box.names().filter((each) => each.endsWith('.tgz'));
      expect(result.message).toContain(
        `${path.join(box.destination, name!)} is written and verified, but its directory could not be synced (EIO)`,
      );
      expect(box.names().filter((each) => each.endsWith('.tmp'))).toEqual([]);
    } finally {
      sync.mockRestore();
    }
  });

  test.each(['EINVAL', 'ENOTSUP'])(
    'a file system that cannot sync a directory (%s): no failure',
    async (code) => {
      const sync = vi.spyOn(fs, 'fsyncSync');
      try {
        const { result } = await box.back({
          failpoint: (name) => {
            if (name !== 'archive named') return;
            sync.mockImplementation(() => {
              throw Object.assign(new Error('fsync'), { code });
            });
          },
        });
        expect(result.outcome).toBe('Succeeded');
      } finally {
        sync.mockRestore();
      }
    },
  );

  test('a corrupt member of the previous archive: a warning of the command too', async () => {
    box.clockAheadMs = 2_100;
    for (let index = 0; index < 100; index++) box.write(`${index}`, `${index} `.repeat(200));
    const { result } = await box.back();
    const fd = fs.openSync(result.archive!.path, 'r+');
    fs.writeSync(fd, 'XXXX', 500);
    fs.closeSync(fd);
    const { status, stderr } = create();
    expect([status, stderr]).toEqual([
      0,
      expect.stringMatching(/^warning: 1 damaged piece\(s\) of km-backup-/m),
    ]);
  });

  test('a worker thread that dies: the run fails, and calls no file unreadable', async () => {
    const entry = new URL('../../src/archive/pool/testing/dying-worker.ts', import.meta.url);
    for (const content of ['small', 'large '.repeat(1 << 20)]) {
      box.write('data', content);
      await expect(packWhile(box, { pool: new WorkerPool(1, entry) })).rejects.toMatchObject({
        reason: 'OutOfResources',
      });
      for (const name of ['out.tgz', 'out.manifest']) fs.rmSync(path.join(box.root, name));
    }
  });
});
