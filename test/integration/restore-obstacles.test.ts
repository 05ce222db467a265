import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
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
      expect(status).toBe(1);
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
  expect(refused.status).toBe(1);
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
