import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fromText } from '../../src/archive/format/byte-string.ts';
import { DeepPaths } from '../../src/archive/restore/deep-paths.ts';
import { commitRestore, resumeRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { removeTree } from '../../src/archive/restore/remove-tree.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { setTimes } from '../../src/posix/times.ts';
import { endOfArchive, pax, rawEntry } from '../support/raw-tar.ts';

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-deep-'));
});
afterEach(async () => {
  await removeTree(fromText(base));
});

const options = (archive: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: at('target'),
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'keep',
  threads: 1,
  now: () => new Date(),
  ...more,
});

function tarOf(name: string, ...parts: Buffer[]): string {
  const archive = at(name);
  fs.writeFileSync(archive, gzipSync(Buffer.concat([...parts, endOfArchive])));
  return archive;
}

/** Creates nested directories with a file in the last one, and returns that file's path. */
function nest(root: string, names: readonly string[], file: string, content: string) {
  fs.mkdirSync(root, { recursive: true });
  using paths = new DeepPaths(fromText(root));
  let path = '';
  for (const name of names) {
    path = path === '' ? name : `${path}/${name}`;
    fs.mkdirSync(paths.at(fromText(path)));
  }
  const last = fromText(`${path}/${file}`);
  fs.writeFileSync(paths.at(last), content);
  return last;
}

function read(root: string, file: ReturnType<typeof fromText>): string {
  using paths = new DeepPaths(fromText(root));
  return fs.readFileSync(paths.at(file), 'utf8');
}

describe('paths of more than 4,096 bytes', () => {
  const long = Array.from({ length: 30 }, (_, i) => `${'d'.repeat(200)}${i}`);
  let old: ReturnType<typeof fromText>;
  let fresh: ReturnType<typeof fromText>;
  let archive: string;
  beforeEach(() => {
    old = nest(at('target'), long, 'km-backup-20250101T000000.tgz', 'an archive');
    fs.writeFileSync(at('target/file'), 'old');
    fresh = nest(at('source'), ['n', ...long], 'new', 'new');
    archive = at('new.tgz');
    execFileSync('tar', ['-czf', archive, '--format=posix', '-C', at('source'), '.']);
  });

  test.each(['exchange', 'children'] as const)(
    'are restored, rolled back and committed, and archives there are preserved (%s)',
    async (swap) => {
      await restore(options(archive, { swap }));
      expect(read(at('target'), fresh)).toBe('new');
      expect(read(at('target'), old)).toBe('an archive');
      await rollbackRestore(at('target'));
      expect(read(at('target'), old)).toBe('an archive');
      expect(fs.readFileSync(at('target/file'), 'utf8')).toBe('old');

      await restore(options(archive, { swap }));
      await commitRestore(at('target'));
      expect(read(at('target'), fresh)).toBe('new');
      expect(read(at('target'), old)).toBe('an archive');
      expect(restoreStatus(at('target')).phase).toBe('none');
      expect(fs.readdirSync(base).sort()).toEqual(['new.tgz', 'source', 'target']);
      expect(fs.readdirSync(at('target'))).not.toContain('.km-restore');
    },
  );

  test('and what was staged of them is removed after a failure', async () => {
    const failpoint = (name: string) => {
      if (name === 'sync') throw new Error('stopped here');
    };
    await expect(restore(options(archive, { failpoint }))).rejects.toThrow('stopped here');
    expect(fs.readdirSync(base).sort()).toEqual(['new.tgz', 'source', 'target']);
  });
});

describe('cost', () => {
  test('12,000 nested directories in one short entry are refused at once', async () => {
    const file = rawEntry({ name: 'x', content: 'x' });
    const archive = tarOf('deep.tgz', pax({ path: `${'a/'.repeat(12_000)}f` }), file);
    expect(fs.statSync(archive).size).toBeLessThan(512);
    for (const dryRun of [true, false]) {
      await expect(restore(options(archive, { dryRun }))).rejects.toMatchObject({
        reason: 'RestoreRefused',
        message: expect.stringContaining('more than 256 directories that the archive does not list'),
      });
    }
  });

  test('directories that an archive does not list count for the space needed', async () => {
    const entries = Array.from({ length: 300 }, (_, i) => [
      pax({ path: `${i}/${'a/'.repeat(250)}f` }),
      rawEntry({ name: 'x' }),
    ]).flat();
    fs.mkdirSync(at('target'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'none', at('target')]);
    try {
      await expect(restore(options(tarOf('wide.tgz', ...entries)))).rejects.toMatchObject({
        reason: 'NoSpace',
      });
    } finally {
      execFileSync('umount', [at('target')]);
    }
  });

  test('a deep tree is removed at a cost that grows with its size', async () => {
    const cost = async (depth: number, trees: number) => {
      const paths = Array.from({ length: trees }, (_, tree) => at(`deep-${depth}-${tree}`));
      for (const path of paths) nest(path, Array(depth).fill('d'), 'f', '');
      const start = process.cpuUsage();
      for (const path of paths) await removeTree(fromText(path));
      const { user, system } = process.cpuUsage(start);
      return user + system;
    };
    await cost(400, 1);
    // As many directories, so that both are long enough to measure. Quadratic cost would be 8 times as high.
    expect(await cost(4000, 1)).toBeLessThan(4 * (await cost(500, 8)));
  });

  test('a signal is heard while a tree is removed; a later run completes it', async () => {
    fs.mkdirSync(at('source'));
    fs.writeFileSync(at('source/new'), 'new');
    execFileSync('tar', ['-czf', at('new.tgz'), '-C', at('source'), '.']);
    fs.mkdirSync(at('target'));
    for (let i = 0; i < 5000; i++) fs.writeFileSync(at(`target/${i}`), '');
    await restore(options(at('new.tgz')));
    const controller = new AbortController();
    setImmediate(() => controller.abort(new Error('stopped by a signal')));
    await expect(commitRestore(at('target'), { signal: controller.signal })).rejects.toThrow(
      'stopped by a signal',
    );
    expect(restoreStatus(at('target')).phase).toBe('removing');
    expect(fs.readdirSync(at('.km-restore-target/old')).length).toBeGreaterThan(0);
    await resumeRestore(at('target'));
    expect(fs.readdirSync(base).sort()).toEqual(['new.tgz', 'source', 'target']);
  });
});

describe('the archive that is being restored lies in the target', () => {
  const content = () => rawEntry({ name: './data', content: 'restored' });
  beforeEach(() => fs.mkdirSync(at('target/sub'), { recursive: true }));

  test.each(['a name of its own', 'a hard link'])('under %s: it is preserved', async (kind) => {
    const archive = tarOf('target/sub/nightly.tar.gz', content());
    if (kind === 'a hard link') fs.linkSync(archive, at('elsewhere.tgz'));
    const before = fs.readFileSync(archive);
    await restore(options(kind === 'a hard link' ? at('elsewhere.tgz') : archive));
    expect(fs.readFileSync(archive)).toEqual(before);
    await rollbackRestore(at('target'));
    expect(fs.readFileSync(archive)).toEqual(before);
    await restore(options(archive, { oldState: 'remove' }));
    expect(fs.readFileSync(archive)).toEqual(before);
    expect(fs.readFileSync(at('target/data'), 'utf8')).toBe('restored');
  });

  test('at a path where the archive itself has something else: refused, by a dry run too', async () => {
    const archive = tarOf('target/data', content());
    const before = fs.readFileSync(archive);
    for (const dryRun of [true, false]) {
      await expect(restore(options(archive, { dryRun }))).rejects.toThrow(
        /'data' is an archive in the target, but something else in the tree that would replace it/,
      );
    }
    expect(fs.readFileSync(archive)).toEqual(before);
  });
});

describe('extended attributes', () => {
  // A file system of its own would take longer: what this one refuses is enough.
  test.each([
    [
      'too large a value',
      `user.${'n'.repeat(20)}`,
      'x'.repeat(60_000),
      /user\.n+ not restored: it is too large/,
    ],
    [
      'too long a name',
      `user.${'n'.repeat(300)}`,
      'x',
      /not restored: it is too large for the file system \(ERANGE\)/,
    ],
    ['an unknown kind', 'unknown.x', 'x', /unknown\.x not restored: the file system does not support it/],
    [
      'an invalid value',
      'system.posix_acl_access',
      'x',
      /system\.posix_acl_access not restored: the file system/,
    ],
  ])('%s: a warning that names it', async (_, name, value, warning) => {
    const archive = tarOf(
      'x.tgz',
      pax({ [`SCHILY.xattr.${name}`]: value, 'SCHILY.xattr.user.good': 'good' }),
      rawEntry({ name: './data', content: 'data' }),
    );
    const report = await restore(options(archive));
    expect(report).toMatchObject({
      outcome: 'restored',
      warnings: { count: 1, samples: [expect.stringMatching(warning)] },
    });
    expect(
      execFileSync('python3', [
        '-c',
        'import os,sys; print(os.getxattr(sys.argv[1], "user.good"))',
        at('target/data'),
      ]).toString(),
    ).toContain('good');
  });
});

test('a target that cannot be written: a sentence, by a dry run too', async () => {
  const archive = tarOf('x.tgz', rawEntry({ name: './data' }));
  for (const target of [
    '/proc/km-restore',
    '/proc/sys',
    '/sys/kernel',
    '/dev/full',
    at('none/target'),
    at('x.tgz/below'),
  ]) {
    for (const dryRun of [true, false]) {
      await expect(restore(options(archive, { target, dryRun }))).rejects.toMatchObject({
        reason: 'RestoreRefused',
        message: expect.stringMatching(/^refused: .*Nothing was changed\.$/),
      });
    }
  }
});

test('names of paths are escaped in messages', async () => {
  const target = at('new\nline\u001b[31m');
  fs.writeFileSync(target, '');
  const archive = tarOf('x.tgz', rawEntry({ name: './data' }));
  await expect(restore(options(archive, { target }))).rejects.toThrow(
    /new\\nline\\x1b\[31m is not a directory/,
  );
  expect(restoreStatus(target).text).toContain('new\\nline');
});

test('times far from now come back', async () => {
  const target = fs.mkdtempSync('/dev/shm/km-times-');
  try {
    const file = path.join(target, 'file');
    fs.writeFileSync(file, '');
    setTimes(file, 0n, 4_000_000_000_000_000_000_000n);
    execFileSync('tar', ['-czf', at('x.tgz'), '--format=posix', '-C', target, 'file']);
    fs.rmSync(file);
    await restore(options(at('x.tgz'), { target, oldState: 'remove' }));
    expect(fs.lstatSync(file, { bigint: true }).mtimeNs).toBe(4_000_000_000_000_000_000_000n);
  } finally {
    fs.rmSync(target, { recursive: true });
  }
});
