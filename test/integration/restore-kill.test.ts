import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commitRestore, resumeRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { backUpFolder } from '../support/backup.ts';

/*
 * Fault 28. The harness enumerates: it runs the same command again and again, killed before its first change
 * on disk, its second, and so on until a run ends by itself. After every kill the tree must be told wholly
 * old, wholly new or unfinished, and the next run must bring it to one end or the other.
 */

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
const archives = () => at('target/backups/archives');
let archive: string;

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-kill-'));
  fs.mkdirSync(archives(), { recursive: true });
  fs.mkdirSync(at('target/dir'));
  fs.writeFileSync(at('target/dir/both'), 'new');
  fs.writeFileSync(at('target/only-new'), 'new');
  const { result } = await backUpFolder(at('target'), archives(), {
    now: () => new Date('2026-01-01T00:00:00Z'),
  });
  archive = result.archive!.path;
  fs.writeFileSync(at('target/dir/both'), 'old');
  fs.rmSync(at('target/only-new'));
  fs.writeFileSync(at('target/only-old'), 'old');
  fs.cpSync(at('target'), at('pristine'), { recursive: true, preserveTimestamps: true });
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

const runner = fileURLToPath(new URL('../support/restore-once.ts', import.meta.url));

/** In a process of its own, killed before its change number `kill`, if there are that many. */
function run(kill: number, action: string, ...more: string[]) {
  const child = spawnSync(process.execPath, [runner, String(kill), action, at('target'), ...more], {
    encoding: 'utf8',
  });
  if (child.signal === null && child.status !== 0) throw new Error(child.stderr);
  return { killed: child.signal === 'SIGKILL', steps: child.stdout.trim().split('\n') };
}

/** To its end, in this process. */
async function restoreHere(swap: string, oldState: 'keep' | 'remove', from = archive): Promise<void> {
  await restore({
    archive: from,
    target: at('target'),
    policy: { preserveSetid: false, skipDevices: false },
    oldState,
    threads: 1,
    now: () => new Date(),
    ...(swap === 'exchange' || swap === 'rename' || swap === 'children' ? { swap } : {}),
  });
}

/** The data of the target, its archives aside. */
function state(): 'old' | 'new' | 'mixed' {
  if (!fs.existsSync(at('target'))) return 'mixed';
  const names = fs.readdirSync(at('target')).filter((name) => name !== '.km-restore' && name !== 'backups');
  const both = fs.existsSync(at('target/dir/both')) ? fs.readFileSync(at('target/dir/both'), 'utf8') : 'none';
  const told = `${names.sort().join(' ')} ${both}`;
  if (told === 'dir only-old old') return 'old';
  return told === 'dir only-new new' ? 'new' : 'mixed';
}

/** Wherever they are at the moment, exactly these archives exist, and once. */
function expectArchives() {
  const found = fs
    .readdirSync(base, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.startsWith('pristine') && /km-backup-\d.*\.tgz(\.manifest)?$/.test(name))
    .map((name) => path.basename(name));
  expect(found.sort()).toEqual(['km-backup-20260101T000000Z.tgz', 'km-backup-20260101T000000Z.tgz.manifest']);
}

function expectClean() {
  expect(fs.readdirSync(base).sort()).toEqual(['pristine', 'target']);
  expect(fs.readdirSync(at('target'))).not.toContain('.km-restore');
  expect(fs.readdirSync(archives()).sort()).toEqual([
    '.km-backup.lock',
    'km-backup-20260101T000000Z.tgz',
    'km-backup-20260101T000000Z.tgz.manifest',
  ]);
}

function reset() {
  fs.rmSync(at('target'), { recursive: true });
  fs.cpSync(at('pristine'), at('target'), { recursive: true, preserveTimestamps: true });
}

describe.each(['exchange', 'rename', 'children'])('killed before each step (%s)', (swap) => {
  const untouched = [
    'journal staging',
    'make the staging directory',
    'unpack',
    'compare',
    'sync',
    'journal swapping',
  ];

  test('of a restore: the next run of the same command ends wholly new', async () => {
    const seen: string[] = [];
    for (let kill = 0; ; kill++) {
      const { killed, steps } = run(kill, 'restore', archive, swap, 'remove');
      if (!killed) break;
      const last = steps.at(-1)!;
      seen.push(last);
      const status = restoreStatus(at('target')).phase;
      if (untouched.includes(last)) expect([last, state()]).toEqual([last, 'old']);
      else if (status !== 'swapping') expect([last, state()]).toEqual([last, 'new']);
      if (swap === 'exchange') expect(state()).not.toBe('mixed');
      expectArchives();
      await restoreHere(swap, 'remove');
      expect([last, state()]).toEqual([last, 'new']);
      expectArchives();
      expectClean();
      reset();
    }
    expect(seen).toEqual(
      expect.arrayContaining([
        ...untouched,
        'journal moved',
        'journal removing',
        'remove old',
        'remove the journal',
        'remove the state directory',
      ]),
    );
    expect(seen.some((name) => name.startsWith('preserve '))).toBe(true);
    expect(new Set(seen).size).toBe(seen.length);
    const swapping: Record<string, string[]> = {
      exchange: ['exchange', 'rename the old tree'],
      rename: ['move the live tree out', 'move the other tree in'],
      children: [
        'move out dir',
        'move out only-old',
        'move in dir',
        'move in only-new',
        'metadata of the mount point',
      ],
    };
    expect(seen).toEqual(expect.arrayContaining(swapping[swap]!));
  });

  test('of a restore: a rollback ends wholly old', async () => {
    for (let kill = 0; ; kill++) {
      const { killed, steps } = run(kill, 'restore', archive, swap, 'keep');
      if (!killed) break;
      if (restoreStatus(at('target')).phase === 'none') {
        expect([steps.at(-1), state()]).toEqual([steps.at(-1), 'old']);
      } else {
        await rollbackRestore(at('target'));
      }
      expect([steps.at(-1), state()]).toEqual([steps.at(-1), 'old']);
      expectArchives();
      reset();
      fs.rmSync(at('.km-restore-target'), { recursive: true, force: true });
    }
    expect(state()).toBe('new');
  });

  test('of a rollback: the next run ends wholly old', async () => {
    for (let kill = 0; ; kill++) {
      await restoreHere(swap, 'keep');
      expect(state()).toBe('new');
      const { killed, steps } = run(kill, 'rollback');
      if (!killed) break;
      if (swap === 'exchange') expect(state()).not.toBe('mixed');
      expectArchives();
      const again = restoreStatus(at('target')).phase;
      if (again === 'swapped') await rollbackRestore(at('target'));
      else if (again !== 'none') await resumeRestore(at('target'));
      expect([steps.at(-1), state()]).toEqual([steps.at(-1), 'old']);
      expectArchives();
      reset();
      fs.rmSync(at('.km-restore-target'), { recursive: true, force: true });
    }
    expect(state()).toBe('old');
    expectClean();
  });

  test('of a commit: the next run ends wholly new, with nothing left', async () => {
    for (let kill = 0; ; kill++) {
      await restoreHere(swap, 'keep');
      const { killed, steps } = run(kill, 'commit');
      if (!killed) break;
      expect([steps.at(-1), state()]).toEqual([steps.at(-1), 'new']);
      if (restoreStatus(at('target')).phase !== 'none') await commitRestore(at('target'));
      expect([steps.at(-1), state()]).toEqual([steps.at(-1), 'new']);
      expectArchives();
      reset();
      fs.rmSync(at('.km-restore-target'), { recursive: true, force: true });
    }
    expectClean();
  });
});

test('killed before each step where there was no target', async () => {
  const copy = at('copy.tgz');
  fs.copyFileSync(archive, copy);
  fs.copyFileSync(`${archive}.manifest`, `${copy}.manifest`);
  let steps = 0;
  for (let kill = 0; ; kill++) {
    fs.rmSync(at('target'), { recursive: true, force: true });
    if (!run(kill, 'restore', copy).killed) break;
    expect(['new', 'mixed']).toContain(state());
    if (state() === 'mixed') expect(fs.existsSync(at('target'))).toBe(false);
    await restoreHere('', 'remove', copy);
    expect(state()).toBe('new');
    expect(fs.readdirSync(base).sort()).toEqual(['copy.tgz', 'copy.tgz.manifest', 'pristine', 'target']);
    steps++;
  }
  expect(state()).toBe('new');
  expect(steps).toBeGreaterThan(6);
});
