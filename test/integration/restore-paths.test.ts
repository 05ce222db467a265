import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commitRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { planRestore } from '../../src/archive/restore/plan-restore.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { backUpFolder } from '../support/backup.ts';
import { describeTree } from '../support/tree.ts';

/* Chosen files and folders, put back into a live tree one by one. */

let base: string;
let archive: string;
let archived: Tree;
let live: Tree;
type Tree = ReturnType<typeof describeTree>;
const at = (...names: string[]) => path.join(base, ...names);
const tree = () => describeTree(at('target'), (name) => name === '.km-restore');

/** `gone/deep` is missing in the live tree; `kept` differs and is not chosen. */
const CHOSEN = ['file', 'dir', 'gone/deep/file'];

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-paths-'));
  for (const name of ['target/dir/sub', 'target/gone/deep', 'archives'])
    fs.mkdirSync(at(name), { recursive: true });
  for (const name of ['file', 'kept', 'dir/a', 'dir/sub/b', 'gone/deep/file', 'gone/deep/other'])
    fs.writeFileSync(at('target', name), `archived ${name}`);
  fs.chmodSync(at('target/gone'), 0o750);
  fs.linkSync(at('target/kept'), at('target/link'));
  const { result } = await backUpFolder(at('target'), at('archives'));
  archive = result.archive!.path;
  archived = tree();
  fs.rmSync(at('target/gone'), { recursive: true });
  for (const name of ['file', 'kept', 'dir/a', 'dir/new'])
    fs.writeFileSync(at('target', name), `live ${name}`);
  live = tree();
  fs.cpSync(at('target'), at('pristine'), { recursive: true, preserveTimestamps: true });
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

const options = (more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: at('target'),
  id: 'request',
  paths: CHOSEN,
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'keep',
  threads: 1,
  now: () => new Date(),
  ...more,
});

/** A tree without what renames and copies change. */
const without = (given: Tree, ...names: string[]) =>
  Object.fromEntries(Object.entries(given).filter(([name]) => !names.includes(name)));
const contents = () =>
  Object.fromEntries(
    Object.keys(tree())
      .filter((name) => fs.statSync(at('target', name)).isFile())
      .map((name) => [name, fs.readFileSync(at('target', name), 'utf8')]),
  );
const OLD = {
  'dir/a': 'live dir/a',
  'dir/new': 'live dir/new',
  'dir/sub/b': 'archived dir/sub/b',
  file: 'live file',
};
const NEW = {
  'dir/a': 'archived dir/a',
  'dir/sub/b': 'archived dir/sub/b',
  file: 'archived file',
  'gone/deep/file': 'archived gone/deep/file',
};
const UNTOUCHED = { kept: 'live kept', link: 'live kept' };

test('brings what was chosen, with its parents, and touches nothing else', async () => {
  const report = await restore(options());
  expect(report).toMatchObject({ outcome: 'restored', entries: 6, files: 4, warnings: { count: 0 } });
  expect(contents()).toEqual({ ...NEW, ...UNTOUCHED });
  for (const name of ['file', 'dir', 'dir/a', 'dir/sub', 'dir/sub/b', 'gone', 'gone/deep', 'gone/deep/file'])
    expect([name, tree()[name]]).toEqual([name, archived[name]]);
  await rollbackRestore(at('target'), { id: 'request' });
  expect(without(tree(), '')).toEqual(without(live, ''));
  expect(fs.readdirSync(base)).toContain('.km-restore-target');
});

test('staged first, committed later, and done once', async () => {
  await restore(options({ stageOnly: true }));
  expect([contents(), restoreStatus(at('target')).phase]).toEqual([{ ...OLD, ...UNTOUCHED }, 'staged']);
  // Made meanwhile: it must not be swept away with the path below it.
  fs.mkdirSync(at('target/gone'));
  fs.writeFileSync(at('target/gone/mine'), 'mine');
  await restore(options());
  expect(contents()).toEqual({ ...NEW, ...UNTOUCHED, 'gone/mine': 'mine' });
  await commitRestore(at('target'));
  expect(await restore(options())).toMatchObject({ outcome: 'already-restored' });
});

test('the plan covers what was chosen only', async () => {
  const { plan } = await planRestore(options());
  expect(plan.samples).toEqual(['+ gone/deep/file', '~ dir', '~ dir/a', '~ file', '- dir/new']);
  fs.writeFileSync(at('target/kept'), 'changed again');
  expect((await planRestore(options())).plan.digest).toBe(plan.digest);
  await restore(options({ expectPlan: plan.digest }));
});

test.each<[string, Partial<RestoreOptions>, () => void, string]>([
  ['a path that the archive does not hold', { paths: ['file', 'nowhere'] }, () => {}, 'EntryMissing'],
  ['the whole tree', { paths: ['.'] }, () => {}, 'Usage'],
  ['a path that leads out', { paths: ['../file'] }, () => {}, 'Usage'],
  ['an archive without a manifest', {}, () => fs.rmSync(`${archive}.manifest`), 'RestoreRefused'],
  ['a target that does not exist', { target: '/nowhere/at/all' }, () => {}, 'RestoreRefused'],
  ['a path below a symlink', {}, () => fs.symlinkSync('/tmp', at('target/gone')), 'RestoreRefused'],
  ['another plan', { expectPlan: '0'.repeat(64) }, () => {}, 'PlanChanged'],
])('refused, and nothing changed: %s', async (_, more, prepare, reason) => {
  prepare();
  const before = tree();
  await expect(restore(options(more))).rejects.toMatchObject({ reason });
  expect(tree()).toEqual(before);
  expect(fs.readdirSync(base).sort()).toEqual(['archives', 'pristine', 'target']);
});

test('setuid bits are removed and named, unless they are to be kept', async () => {
  fs.chmodSync(at('target/file'), 0o4755);
  const { result } = await backUpFolder(at('target'), at('archives'));
  const given = { archive: result.archive!.path, paths: ['file'] };
  const mode = () => (fs.statSync(at('target/file')).mode & 0o7777).toString(8);
  const warnings = { count: 1, samples: ['file: setuid, setgid or capabilities removed'] };
  expect(await restore(options({ ...given, id: 'one', oldState: 'remove' }))).toMatchObject({ warnings });
  expect(mode()).toBe('755');
  const policy = { preserveSetid: true, skipDevices: false };
  const kept = await restore(options({ ...given, id: 'two', oldState: 'remove', policy }));
  expect(kept).toMatchObject({ warnings: { count: 0 } });
  expect(mode()).toBe('4755');
});

test('a hard link to a file that was not chosen becomes a file, and is told', async () => {
  const { warnings } = (await restore(options({ paths: ['link'] }))) as { warnings: unknown };
  expect(warnings).toEqual({ count: 1, samples: ["link: is no hard link to 'kept'"] });
  expect(contents()).toMatchObject({ kept: 'live kept', link: 'archived kept' });
});

test('archives in a chosen folder survive', async () => {
  const name = 'dir/km-backup-20250101T000000Z.tgz';
  execFileSync('tar', ['-czf', at('target', name), '-C', at('target'), 'file']);
  await restore(options({ oldState: 'remove' }));
  expect(Object.keys(contents())).toContain(name);
  expect(contents()).toMatchObject(NEW);
});

describe('killed before each change', () => {
  const runner = fileURLToPath(new URL('../support/restore-once.ts', import.meta.url));
  const run = (kill: number, action: string, ...more: string[]) => {
    const env = { ...process.env, RESTORE_PATHS: CHOSEN.join(':') };
    const child = spawnSync(process.execPath, [runner, String(kill), action, at('target'), ...more], {
      encoding: 'utf8',
      env,
    });
    if (child.signal === null && child.status !== 0) throw new Error(child.stderr);
    return { killed: child.signal === 'SIGKILL', last: child.stdout.trim().split('\n').at(-1)! };
  };
  const reset = () => {
    for (const name of ['target', '.km-restore-target'])
      fs.rmSync(at(name), { recursive: true, force: true });
    fs.cpSync(at('pristine'), at('target'), { recursive: true, preserveTimestamps: true });
    fs.rmSync(at('target/link'));
    fs.linkSync(at('target/kept'), at('target/link'));
  };

  test('of a restore: the same request completes it, or a rollback undoes it', async () => {
    const seen: string[] = [];
    for (let kill = 0; ; kill++) {
      reset();
      const { killed, last } = run(kill, 'restore', archive, '', 'keep', 'request');
      if (!killed) break;
      seen.push(last);
      await restore(options());
      expect([last, contents()]).toEqual([last, { ...NEW, ...UNTOUCHED }]);
      reset();
      run(kill, 'restore', archive, '', 'keep', 'request');
      if (restoreStatus(at('target')).phase !== 'none') await rollbackRestore(at('target'));
      expect([last, contents()]).toEqual([last, { ...OLD, ...UNTOUCHED }]);
      expect([last, fs.existsSync(at('target/gone'))]).toEqual([last, false]);
    }
    expect(seen).toEqual(
      expect.arrayContaining(['move out dir', 'move in dir', 'move in gone', 'move out file']),
    );
  });

  test('of a rollback: repeated, it completes', async () => {
    for (let kill = 0; ; kill++) {
      reset();
      await restore(options());
      const { killed, last } = run(kill, 'rollback', 'request');
      if (!killed) break;
      await rollbackRestore(at('target'), { id: 'request' });
      expect([last, contents()]).toEqual([last, { ...OLD, ...UNTOUCHED }]);
    }
  });
});
