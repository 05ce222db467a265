import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { resumeRestore, rollbackRestore } from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { type Ended, ProgramAs } from '../support/restore-as.ts';
import { describeTree } from '../support/tree.ts';

/*
 * Entries that cannot be moved, below a mount point and beside it, as root and as another user. Needs root, for
 * mounts and for chattr. Restores run in processes of those users.
 */

const user = 1234;
let base: string;
let mounted: string[];
let immutable: string[];
const at = (...names: string[]) => path.join(base, ...names);

beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-obstacle-'));
  mounted = [];
  immutable = [];
  fs.chmodSync(base, 0o777);
});
afterEach(() => {
  for (const file of immutable) execFileSync('chattr', ['-ia', file]);
  for (const point of mounted.reverse()) execFileSync('umount', [point]);
  fs.rmSync(base, { recursive: true, force: true });
});

function chattr(flag: '+i' | '+a', file: string): void {
  execFileSync('chattr', [flag, file]);
  immutable.push(file);
}

/** A volume of its own, mounted at `volume`. */
function mountVolume(): string {
  fs.mkdirSync(at('volume'));
  fs.writeFileSync(at('image'), '');
  fs.truncateSync(at('image'), 32 * 1024 * 1024);
  execFileSync('mkfs.ext4', ['-q', '-m', '0', at('image')]);
  execFileSync('mount', ['-o', 'loop', at('image'), at('volume')]);
  mounted.push(at('volume'));
  return at('volume');
}

function fill(target: string, owner: number): void {
  fs.mkdirSync(path.join(target, 'dir'));
  fs.writeFileSync(path.join(target, 'dir/old'), 'old');
  fs.writeFileSync(path.join(target, 'file'), 'old');
  fs.writeFileSync(path.join(target, 'zfile'), 'old');
  for (const name of ['', 'dir', 'dir/old', 'file', 'zfile'])
    fs.chownSync(path.join(target, name), owner, owner);
}

/** An archive whose top-level directory `dir` has the given mode. */
function pack(mode = 0o755): string {
  fs.mkdirSync(at('source/dir'), { recursive: true });
  fs.writeFileSync(at('source/dir/new'), 'new');
  fs.writeFileSync(at('source/file'), 'new');
  fs.chmodSync(at('source/dir'), mode);
  execFileSync('tar', ['-czf', at('new.tgz'), '--format=posix', '-C', at('source'), '.']);
  return at('new.tgz');
}

const processes = new Map<number, ProgramAs>();
afterAll(() => {
  for (const process of processes.values()) process[Symbol.dispose]();
});

/** `km-backup restore` as a user. */
function run(uid: number, ...args: string[]): Promise<Ended> {
  const process = processes.get(uid) ?? new ProgramAs(uid);
  processes.set(uid, process);
  return process.run('restore', ...args);
}

const hidden = (name: string) => /^(\.km-restore|lost\+found)(\/|$)/.test(name);
const read = (target: string, name: string) => fs.readFileSync(path.join(target, name), 'utf8');

describe.each([
  {
    what: 'an entry of another user in a sticky directory',
    uid: user,
    prepare: (target: string) => {
      fs.chownSync(target, 0, 0);
      fs.chmodSync(target, 0o1777);
      fs.chownSync(path.join(target, 'file'), 4321, 4321);
    },
    why: /volume\/file: it belongs to user 4321, in a directory with the sticky bit/,
    clear: (target: string) => fs.chownSync(path.join(target, 'file'), user, user),
  },
  {
    what: 'a directory of another user',
    uid: user,
    prepare: (target: string) => fs.chownSync(path.join(target, 'dir'), 4321, 4321),
    why: /volume\/dir: it is a directory of user 4321 that this process \(user 1234\) may not write to/,
    clear: (target: string) => fs.chownSync(path.join(target, 'dir'), user, user),
  },
  {
    what: 'a root that may not be written to',
    uid: user,
    prepare: (target: string) => {
      fs.chownSync(target, 0, 0);
      fs.chmodSync(target, 0o755);
    },
    why: /volume cannot be written to \(EACCES\): it belongs to user 0 with mode 0755/,
    clear: (target: string) => fs.chownSync(target, user, user),
  },
  {
    what: 'an immutable file, as root',
    uid: 0,
    prepare: (target: string) => chattr('+i', path.join(target, 'zfile')),
    why: /volume\/zfile: it is immutable \(chattr -i\)/,
    clear: (target: string) => execFileSync('chattr', ['-i', path.join(target, 'zfile')]),
  },
  {
    what: 'an append-only directory, as root',
    uid: 0,
    prepare: (target: string) => chattr('+a', path.join(target, 'dir')),
    why: /volume\/dir: it is append-only \(chattr -a\)/,
    clear: (target: string) => execFileSync('chattr', ['-a', path.join(target, 'dir')]),
  },
  {
    what: 'an append-only root, as root',
    uid: 0,
    prepare: (target: string) => chattr('+a', target),
    why: /volume: its directory is append-only/,
    clear: (target: string) => execFileSync('chattr', ['-a', target]),
  },
])('$what', ({ uid, prepare, why, clear }) => {
  test('is refused before anything is changed, by a dry run too', async () => {
    const target = mountVolume();
    fill(target, uid);
    prepare(target);
    const archive = pack();
    const before = describeTree(target, hidden);
    for (const flags of [['--dry-run'], []]) {
      const { status, output } = await run(uid, ...flags, archive, target);
      expect(output).toMatch(why);
      expect(output).toMatch(/Nothing was changed/);
      expect(output).not.toMatch(/^ {4}at /m);
      expect(status).toBe(7);
    }
    expect(describeTree(target, hidden)).toEqual(before);
    expect(fs.readdirSync(target)).not.toContain('.km-restore');

    clear(target);
    expect(await run(uid, archive, target)).toMatchObject({ status: 0 });
    expect(read(target, 'file')).toBe('new');
    expect(await run(uid, '--rollback', target)).toMatchObject({ status: 0 });
    expect(read(target, 'dir/old')).toBe('old');
  });
});

describe.each(['live', 'restored'] as const)('a read-only directory of one’s own in the %s tree', (which) => {
  test.each(['mount point', 'directory'])('is moved and keeps its mode: %s', async (kind) => {
    const target = kind === 'mount point' ? mountVolume() : at('volume');
    fs.mkdirSync(target, { recursive: true });
    fill(target, user);
    const archive = pack(which === 'restored' ? 0o555 : 0o755);
    if (which === 'live') fs.chmodSync(path.join(target, 'dir'), 0o555);
    if (kind === 'directory') fs.chmodSync(which === 'live' ? target : at('source'), 0o555);
    const before = describeTree(target, hidden);
    const again = kind === 'directory' ? pack(0o755) : archive;
    expect(await run(user, again, target)).toMatchObject({ status: 0 });
    expect(read(target, 'dir/new')).toBe('new');
    if (which === 'restored' && kind === 'mount point') {
      expect(fs.lstatSync(path.join(target, 'dir')).mode & 0o777).toBe(0o555);
    }
    expect(await run(user, '--rollback', target)).toMatchObject({ status: 0 });
    expect(describeTree(target, hidden)).toEqual(before);
  });
});

test('an entry that became immutable since the restore stops the rollback before it begins', async () => {
  const target = mountVolume();
  fill(target, 0);
  expect(await run(0, pack(), target)).toMatchObject({ status: 0 });
  chattr('+i', path.join(target, 'file'));
  const refused = await run(0, '--rollback', target);
  expect(refused.output).toMatch(/volume\/file: it is immutable/);
  expect(refused.status).toBe(7);
  expect(read(target, 'dir/new')).toBe('new');
  expect((await run(0, '--status', target)).output).toMatch(/wholly new/);
  execFileSync('chattr', ['-i', path.join(target, 'file')]);
  expect(await run(0, '--rollback', target)).toMatchObject({ status: 0 });
  expect(read(target, 'file')).toBe('old');
});

test('what cannot be removed is named, and removed later', async () => {
  const target = mountVolume();
  fill(target, 0);
  chattr('+i', path.join(target, 'dir/old'));
  expect(await run(0, pack(), target)).toMatchObject({ status: 0 });
  const failed = await run(0, '--commit', target);
  expect(failed.output).toMatch(/old\/dir\/old cannot be removed \(EPERM: it is immutable \(chattr -i\)\)/);
  expect(failed.status).toBe(1);
  execFileSync('chattr', ['-i', path.join(target, '.km-restore/old/dir/old')]);
  immutable.pop();
  expect(await run(0, '--commit', target)).toMatchObject({ status: 0 });
  expect(fs.readdirSync(target).sort()).toEqual(['dir', 'file', 'lost+found']);
});

describe('a swap that fails on the way', () => {
  const options = (archive: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
    archive,
    target: at('target'),
    policy: { preserveSetid: false, skipDevices: false },
    oldState: 'keep',
    threads: 1,
    now: () => new Date(),
    ...more,
  });
  const failing = (step: string) => (name: string) => {
    if (name === step) throw Object.assign(new Error(`EIO: ${step}`), { code: 'EIO', errno: -5 });
  };
  let archive: string;
  let before: object;
  beforeEach(() => {
    fs.mkdirSync(at('target'));
    fill(at('target'), 0);
    archive = pack();
    before = describeTree(at('target'), hidden);
  });

  test.each([
    ['exchange', 'exchange'],
    ['exchange', 'rename the old tree'],
    ['rename', 'move the live tree out'],
    ['rename', 'move the other tree in'],
    ['children', 'move out dir'],
    ['children', 'move out zfile'],
    ['children', 'move in dir'],
    ['children', 'move in file'],
  ] as const)('%s, at "%s": is undone and leaves no trace', async (swap, step) => {
    await expect(restore(options(archive, { swap, failpoint: failing(step) }))).rejects.toMatchObject({
      reason: 'RestoreFailed',
      message: expect.stringMatching(/the swap failed \(EIO.*\) and was undone\. Nothing was changed/),
    });
    expect(describeTree(at('target'))).toEqual(before);
    expect(fs.readdirSync(base).sort()).toEqual(['new.tgz', 'source', 'target']);
  });

  test.each(['exchange', 'rename', 'children'] as const)(
    'in a rollback: the restored tree stays live, and the rollback can be repeated (%s)',
    async (swap) => {
      await restore(options(archive, { swap }));
      const restored = describeTree(at('target'), hidden);
      const step = { exchange: 'exchange', rename: 'move the other tree in', children: 'move in file' }[swap];
      await expect(rollbackRestore(at('target'), { failpoint: failing(step) })).rejects.toThrow(
        /the rollback failed \(EIO.*\) and was undone/,
      );
      expect(describeTree(at('target'), hidden)).toEqual(restored);
      await rollbackRestore(at('target'));
      expect(describeTree(at('target'))).toEqual(before);
    },
  );

  test('and meets an obstacle when it is undone: named, and finished either way once it is gone', async () => {
    for (const finish of [resumeRestore, rollbackRestore]) {
      const failpoint = (name: string) => {
        if (name !== 'move in dir') return;
        chattr('+i', at('target/.km-restore/old/zfile'));
        failing(name)(name);
      };
      await expect(restore(options(archive, { swap: 'children', failpoint }))).rejects.toThrow(
        /the swap stopped half-way .*--resume.*--rollback/,
      );
      await expect(rollbackRestore(at('target'))).rejects.toThrow(/old\/zfile: EPERM|EPERM.*old\/zfile/);
      execFileSync('chattr', ['-i', at('target/.km-restore/old/zfile')]);
      immutable.pop();
      await finish(at('target'));
      if (finish === resumeRestore) {
        expect(read(at('target'), 'dir/new')).toBe('new');
        await rollbackRestore(at('target'));
      }
      expect(describeTree(at('target'))).toEqual(before);
    }
  });

  test.each([
    ['exchange', 'rename the old tree'],
    ['rename', 'move the other tree in'],
    ['children', 'move in file'],
  ] as const)('%s: undone from any point that an earlier undo reached', async (swap, step) => {
    /** Fails at the nth step from the given one on, and at all that follow, as if the process had died there. */
    const dying = (from: string, n: number) => {
      let left = -1;
      return (name: string) => {
        if (left < 0 && (from === '' || name === from)) left = n;
        else if (left > 0) left--;
        if (left === 0) throw Object.assign(new Error(`EIO: ${name}`), { code: 'EIO', errno: -5 });
      };
    };
    // Removing the state directory by hand changes the times of the root.
    const below = (tree: object) => ({ ...tree, '': undefined });
    let survived = false;
    for (let reach = 0; !survived; reach++) {
      await expect(restore(options(archive, { swap, failpoint: dying(step, 0) }))).rejects.toThrow(
        /half-way/,
      );
      try {
        await rollbackRestore(at('target'), { failpoint: dying('', reach) });
        survived = true;
      } catch {
        // Without a journal only the state directory with its lock is left, which the next restore uses.
        if (restoreStatus(at('target')).phase !== 'none') await rollbackRestore(at('target'));
        else
          for (const state of [at('.km-restore-target'), at('target/.km-restore')]) {
            if (fs.existsSync(state)) fs.rmSync(state, { recursive: true });
          }
      }
      expect(below(describeTree(at('target')))).toEqual(below(before));
      expect(fs.readdirSync(base).sort()).toEqual(['new.tgz', 'source', 'target']);
      expect(reach).toBeLessThan(30);
    }
  });
});
