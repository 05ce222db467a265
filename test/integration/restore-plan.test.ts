import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RestoreResult } from '../../src/api/restore-result.ts';
import { planRestore } from '../../src/archive/restore/plan-restore.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { setXattr } from '../../src/posix/xattr.ts';
import { backUpFolder } from '../support/backup.ts';
import { ProgramAs } from '../support/restore-as.ts';
import { describeTree } from '../support/tree.ts';

/* Needs root, to give files to others. */

const OTHER = 65532;
let base: string;
let archive: string;
const at = (...names: string[]) => path.join(base, ...names);
const programs = { root: new ProgramAs(0), other: new ProgramAs(OTHER) };
afterAll(() => {
  for (const program of Object.values(programs)) program[Symbol.dispose]();
});

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-plan-'));
  fs.chmodSync(base, 0o777);
  fs.mkdirSync(at('target/dir'), { recursive: true });
  for (const name of ['kept', 'changed', 'removed', 'dir/owned', 'dir/also'])
    fs.writeFileSync(at('target', name), name);
  fs.linkSync(at('target/kept'), at('target/zlink'));
  fs.symlinkSync('kept', at('target/symlink'));
  setXattr(at('target/kept'), 'user.note', Buffer.from('note'));
  for (const name of ['dir', 'dir/owned', 'dir/also']) fs.lchownSync(at('target', name), 5, 6);
  const old = new Date('2020-01-01');
  for (const name of ['kept', 'changed', 'removed']) fs.utimesSync(at('target', name), old, old);
  fs.mkdirSync(at('archives'));
  const { result } = await backUpFolder(at('target'), at('archives'));
  archive = result.archive!.path;
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

const options = (more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: at('target'),
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'remove',
  threads: 1,
  now: () => new Date(),
  ...more,
});

function damage(): void {
  fs.writeFileSync(at('target/changed'), 'other content');
  fs.rmSync(at('target/removed'));
  fs.writeFileSync(at('target/dir/new'), 'new');
}

describe('--plan', () => {
  test('says what a restore does, changes nothing, and is empty after it', async () => {
    damage();
    const before = describeTree(at('target'));
    const { plan, warnings } = await planRestore(options());
    expect(plan).toMatchObject({ added: 1, removed: 1, kept: 5 });
    expect(plan.samples).toEqual(['+ removed', '~ ./', '~ changed', '~ dir', '- dir/new']);
    expect(warnings).toEqual({ count: 0, samples: [] });
    expect(describeTree(at('target'))).toEqual(before);
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'target']);
    await restore(options({ expectPlan: plan.digest }));
    expect((await planRestore(options())).plan).toMatchObject({
      added: 0,
      changed: 0,
      removed: 0,
      samples: [],
    });
    await expect(restore(options({ expectPlan: plan.digest }))).rejects.toMatchObject({
      reason: 'PlanChanged',
    });
  });

  test.each<[string, () => void]>([
    ['another file is changed', () => fs.writeFileSync(at('target/dir/also'), '')],
    ['another file is there', () => fs.writeFileSync(at('target/more'), '')],
    ['a file is gone', () => fs.rmSync(at('target/dir/owned'))],
    ['another owner', () => fs.chownSync(at('target/dir/also'), 9, 9)],
    ['another attribute', () => void setXattr(at('target/dir/also'), 'user.more', Buffer.from('x'))],
  ])('a plan that no longer holds is refused: %s', async (_, change) => {
    damage();
    const { plan } = await planRestore(options());
    change();
    const tree = describeTree(at('target'));
    await expect(restore(options({ expectPlan: plan.digest }))).rejects.toMatchObject({
      reason: 'PlanChanged',
    });
    expect(describeTree(at('target'))).toEqual(tree);
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'target']);
  });

  test('of an archive without a manifest, in any order', async () => {
    const plain = at('plain.tgz');
    const names = ['zlink', 'symlink', 'dir/owned', 'dir', 'removed', 'kept', 'changed'];
    execFileSync('tar', [
      '-czf',
      plain,
      '--format=posix',
      '--xattrs',
      '--no-recursion',
      '-C',
      at('target'),
      ...names,
    ]);
    const foreign = () => planRestore(options({ archive: plain }));
    const { plan: unchanged, note } = await foreign();
    expect([unchanged.added, unchanged.samples, note]).toEqual([0, ['- dir/also'], 'it has no manifest']);
    damage();
    expect((await foreign()).plan).toMatchObject({ added: 1, removed: 2 });
  });

  test('of a target that does not exist', async () => {
    const { plan } = await planRestore(options({ target: at('missing') }));
    expect(plan).toMatchObject({ added: 9, changed: 0, removed: 0, kept: 0 });
  });

  test('keeps the archives in the target', async () => {
    fs.renameSync(at('archives'), at('target/archives'));
    const inside = options({ archive: archive.replace(at('archives'), at('target/archives')) });
    const { plan, warnings } = await planRestore(inside);
    expect([plan.removed, warnings.samples]).toEqual([0, ['3 archive files inside the target are kept']]);
  });

  test('works through a read-only mount, and while the application runs', async () => {
    fs.mkdirSync(at('mount'));
    execFileSync('mount', ['--bind', at('target'), at('mount')]);
    const user = spawn('sleep', ['600'], { cwd: at('mount') });
    try {
      await once(user, 'spawn');
      execFileSync('mount', ['-o', 'remount,ro,bind', at('mount')]);
      const { plan, warnings } = await planRestore(options({ target: at('mount') }));
      expect(plan).toMatchObject({ added: 0, changed: 0, removed: 0 });
      expect(warnings.samples).toEqual([expect.stringContaining('is in use')]);
    } finally {
      user.kill();
      await once(user, 'exit');
      execFileSync('umount', [at('mount')]);
    }
  });

  test('by the command line, as text, JSON and result', async () => {
    damage();
    const text = await programs.root.run('restore', '--plan', archive, at('target'));
    expect(text).toMatchObject({ status: 0 });
    expect(text.output).toMatch(
      /would add 1, change 3, remove 1 and keep 5 entries.*\n\+ removed\n(.*\n)*Digest: [0-9a-f]{64}\n/,
    );
    const json = await programs.root.run(
      'restore',
      '--plan',
      '--json',
      '--result-file',
      at('result'),
      archive,
      at('target'),
    );
    const { target, warnings, ...plan } = JSON.parse(json.output);
    const result = RestoreResult.parse(JSON.parse(fs.readFileSync(at('result'), 'utf8')));
    expect(result).toMatchObject({ command: 'plan', outcome: 'Succeeded', reason: 'RestorePlanned', plan });
    expect([target, warnings.count]).toEqual([at('target'), 0]);
    const refused = await programs.root.run(
      'restore',
      '--expect-plan',
      '0'.repeat(64),
      archive,
      at('target'),
    );
    expect(refused).toMatchObject({ status: 7, output: expect.stringContaining('the plan has changed') });
  });
});

describe('losses', () => {
  test('of owners: foreseen by the plan, counted after staging, never one warning each', async () => {
    fs.mkdirSync(at('mine'));
    fs.chownSync(at('mine'), OTHER, OTHER);
    fs.chmodSync(at('archives'), 0o755);
    for (const file of [archive, `${archive}.manifest`]) fs.chmodSync(file, 0o644);
    const ask = async (...argv: string[]) => {
      const { status } = await programs.other.run('restore', '--result-file', at('mine/result'), ...argv);
      expect(status).toBe(0);
      return RestoreResult.parse(JSON.parse(fs.readFileSync(at('mine/result'), 'utf8')));
    };
    const planned = await ask('--plan', archive, at('mine/target'));
    expect(planned.warnings.samples).toEqual([
      expect.stringMatching(/^8 entries will belong to 65532:65532 .*: \.\/, changed, dir, …$/),
    ]);
    const restored = await ask(archive, at('mine/target'));
    expect(restored.warnings).toEqual({
      count: 8,
      samples: ['./', 'changed', 'dir', 'dir/also'].map((name) =>
        expect.stringMatching(new RegExp(`^${name}: owner is 65532:65532, not \\d:\\d$`)),
      ),
    });
  });

  test.each<[string, (root: string) => void, string]>([
    ['mode', (root) => fs.chmodSync(`${root}/kept`, 0o600), 'kept: mode is 0600, not 0644'],
    ['owner', (root) => fs.chownSync(`${root}/dir/also`, 1, 2), 'dir/also: owner is 1:2, not 5:6'],
    [
      'time',
      (root) => fs.utimesSync(`${root}/changed`, 1, 1),
      'changed: modification time is 1000000000, not 1577836800000000000',
    ],
    [
      'attribute',
      (root) => void setXattr(`${root}/kept`, 'user.note', Buffer.from('x')),
      'kept: extended attribute user.note has another value',
    ],
    [
      'new attribute',
      (root) => void setXattr(`${root}/dir`, 'user.new', Buffer.from('x')),
      'dir: extended attribute user.new is new',
    ],
    ['size', (root) => fs.truncateSync(`${root}/dir/owned`, 1), 'dir/owned: size is 1, not 9'],
    [
      'symlink',
      (root) => {
        fs.rmSync(`${root}/symlink`);
        fs.symlinkSync('x', `${root}/symlink`);
      },
      'symlink: link text is x, not kept',
    ],
    [
      'hard link',
      (root) => {
        fs.rmSync(`${root}/zlink`);
        fs.writeFileSync(`${root}/zlink`, '');
      },
      "zlink: is no hard link to 'kept'",
    ],
    ['entry', (root) => fs.rmSync(`${root}/removed`), 'removed: is missing in the restored tree'],
  ])('of a staged %s are told', async (_, lose, expected) => {
    const failpoint = (name: string) => {
      if (name === 'compare') lose(at('.km-restore-target/new'));
    };
    const samples = expect.arrayContaining([expected]);
    expect(await restore(options({ failpoint }))).toMatchObject({ warnings: { samples } });
  });

  test('none, where everything is set', async () => {
    expect(await restore(options())).toMatchObject({ warnings: { count: 0 } });
  });
});

test("another user's state is named with its owner, and what to do", async () => {
  fs.chownSync(at('target'), OTHER, OTHER);
  for (const file of [archive, `${archive}.manifest`]) fs.chmodSync(file, 0o644);
  await restore(options({ id: 'one' }));
  for (const args of [['--status'], ['--id=two', archive], [archive]]) {
    const { status, output } = await programs.other.run('restore', ...args, at('target'));
    expect([args, status]).toEqual([args, 7]);
    expect(output).toContain('.km-restore-target holds what an earlier restore by user 0 left');
    expect(output).toContain('Run as user 0');
  }
  expect(fs.readFileSync(at('target/changed'), 'utf8')).toBe('changed');
});
