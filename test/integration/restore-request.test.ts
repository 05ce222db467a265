import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { RestoreResult } from '../../src/api/restore-result.ts';
import {
  commitRestore,
  discardRestore,
  resumeRestore,
  rollbackRestore,
} from '../../src/archive/restore/finish.ts';
import { restore } from '../../src/archive/restore/restore.ts';
import type { RestoreOptions } from '../../src/archive/restore/restore-options.ts';
import { restoreStatus } from '../../src/archive/restore/status.ts';
import { FileLock } from '../../src/posix/file-lock.ts';
import { identify, isAlive, isStopped, waitFor } from '../cluster/process.ts';
import { backUpFolder } from '../support/backup.ts';
import { PROGRAM } from '../support/km-backup.ts';
import { ProgramAs } from '../support/restore-as.ts';

/*
 * Requests with an id, as KmRestores make them: staged and swapped in by two processes, repeated after a kill or a year
 * later, and never done twice.
 */

let base: string;
let archive: string;
const at = (...names: string[]) => path.join(base, ...names);
const manifest = () => `${archive}.manifest`;

async function backUp(source: string): Promise<string> {
  const { result } = await backUpFolder(source, at('archives'), {
    now: () => new Date('2026-01-01T00:00:00Z'),
  });
  return result.archive!.path;
}

beforeEach(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-request-'));
  fs.mkdirSync(at('target'));
  fs.mkdirSync(at('archives'));
  fs.writeFileSync(at('target/file'), 'new');
  fs.writeFileSync(at('target/more'), 'new');
  archive = await backUp(at('target'));
  makeOld();
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));
const program = new ProgramAs(0);
afterAll(() => program[Symbol.dispose]());

function makeOld(): void {
  for (const name of ['target', '.km-restore-target']) fs.rmSync(at(name), { recursive: true, force: true });
  fs.mkdirSync(at('target'));
  fs.writeFileSync(at('target/file'), 'old');
}

const options = (more: Partial<RestoreOptions> = {}): RestoreOptions => ({
  archive,
  target: at('target'),
  id: 'request',
  policy: { preserveSetid: false, skipDevices: false },
  oldState: 'keep',
  threads: 1,
  now: () => new Date('2026-01-02T00:00:00Z'),
  ...more,
});

const content = () => fs.readFileSync(at('target/file'), 'utf8');
const digestOf = (file: string) => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

const runner = fileURLToPath(new URL('../support/restore-once.ts', import.meta.url));

/** In a process of its own, killed before its change number `kill`, if there are that many. */
function run(kill: number, action: string, ...more: string[]): { killed: boolean; last: string } {
  const child = spawnSync(process.execPath, [runner, String(kill), action, at('target'), ...more], {
    encoding: 'utf8',
  });
  if (child.signal === null && child.status !== 0) throw new Error(child.stderr);
  return { killed: child.signal === 'SIGKILL', last: child.stdout.trim().split('\n').at(-1)! };
}

describe.each(['exchange', 'children'])('staged first, then swapped in (%s)', (swap) => {
  const mode = { swap: swap as 'exchange' | 'children' };

  test('the second run needs the archive no more', async () => {
    const staged = await restore(options({ ...mode, stageOnly: true }));
    expect(staged).toMatchObject({ outcome: 'staged', entries: 3, files: 2 });
    expect([content(), restoreStatus(at('target')).phase]).toEqual(['old', 'staged']);
    // A retry of the Job that staged.
    expect(await restore(options({ ...mode, stageOnly: true }))).toMatchObject({ outcome: 'staged' });
    fs.rmSync(at('archives'), { recursive: true });
    const done = await restore(options(mode));
    expect(done).toMatchObject({ outcome: 'completed', staged: { entries: 3, files: 2, bytes: 6 } });
    expect(content()).toBe('new');
    await rollbackRestore(at('target'), { id: 'request' });
    expect(content()).toBe('old');
  });

  test('killed before each change of staging, swapping and discarding', async () => {
    const seen = new Set<string>();
    for (let kill = 0; ; kill++) {
      const { killed, last } = run(kill, 'restore', archive, swap, 'keep', 'request', 'stage');
      if (!killed) break;
      seen.add(last);
      expect([last, content()]).toEqual([last, 'old']);
      expect(await restore(options({ ...mode, stageOnly: true }))).toMatchObject({ outcome: 'staged' });
      await discardRestore(at('target'), { id: 'request' });
      expect([last, content(), fs.readdirSync(at('target'))]).toEqual([last, 'old', ['file']]);
    }
    expect([...seen]).toContain('journal staged');
    for (let kill = 0; ; kill++) {
      makeOld();
      await restore(options({ ...mode, stageOnly: true }));
      const { killed, last } = run(kill, 'restore', archive, swap, 'keep', 'request');
      if (!killed) break;
      expect(await restore(options(mode))).toMatchObject({ staged: { entries: 3 } });
      expect([last, content()]).toEqual([last, 'new']);
    }
    for (let kill = 0; ; kill++) {
      makeOld();
      await restore(options({ ...mode, stageOnly: true }));
      const { killed, last } = run(kill, 'discard', 'request');
      if (!killed) break;
      await discardRestore(at('target'), { id: 'request' });
      expect([last, content()]).toEqual([last, 'old']);
      // Killed before its last step, it leaves an empty directory.
      const left =
        last === 'remove the state directory' && swap === 'children' ? ['.km-restore', 'file'] : ['file'];
      expect([last, fs.readdirSync(at('target'))]).toEqual([last, left]);
    }
  });

  test('a writer that appears meanwhile is refused, and the staged tree stays', async () => {
    await restore(options({ ...mode, stageOnly: true }));
    const writer = spawn('sleep', ['600'], { cwd: at('target') });
    await once(writer, 'spawn');
    await expect(restore(options(mode))).rejects.toMatchObject({ reason: 'TargetUnavailable' });
    writer.kill();
    await once(writer, 'exit');
    expect([content(), restoreStatus(at('target')).phase]).toEqual(['old', 'staged']);
    expect(await restore(options(mode))).toMatchObject({ outcome: 'completed' });
    expect(content()).toBe('new');
  });
});

/** As two pods of one Job: the API no longer knows the first, whose node is silent. */
describe('a run that meets another one of the same request', () => {
  const tellsOfWait = /Another restore of .*target is running .* Waits up to 60 s/;

  /** Starts a run that is stopped before its change number `stopAt`; undefined if it has fewer. */
  async function hanging(stopAt: number, ...more: string[]) {
    const args = [runner, String(stopAt), 'restore', at('target'), archive, ...more];
    const env = { ...process.env, RESTORE_SIGNAL: 'SIGSTOP' };
    const child = spawn(process.execPath, args, { env, stdio: 'ignore' });
    const ended = once(child, 'exit');
    const id = identify(child.pid!);
    await waitFor(() => !id || !isAlive(id) || isStopped(id), 60_000, 5);
    return id && isStopped(id) ? { child, ended } : undefined;
  }

  /** The second run, once it says that it waits, or has ended. */
  async function waiting(...args: string[]) {
    const child = spawn(PROGRAM, ['restore', '--id=request', '--lock-wait=60', ...args], { stdio: 'pipe' });
    const ended = once(child, 'exit');
    let said = '';
    child.stderr.on('data', (text) => {
      said += text;
    });
    const waits = await waitFor(() => tellsOfWait.test(said) || child.exitCode !== null, 60_000, 20);
    expect(waits).toBe(true);
    return { child, ended, waits: tellsOfWait.test(said), said: () => said };
  }

  test.each(['SIGCONT', 'SIGKILL'] as const)('swaps: it waits until that one gets %s', async (then) => {
    let waited = 0;
    for (let stopAt = 0; ; stopAt++) {
      makeOld();
      await restore(options({ swap: 'children', stageOnly: true }));
      const first = await hanging(stopAt, 'children', 'remove', 'request');
      if (!first) break;
      const second = await waiting('--commit', archive, at('target'));
      if (second.waits) waited++;
      else expect([stopAt, content()]).toEqual([stopAt, 'new']);
      first.child.kill(then);
      const [status] = await second.ended;
      await first.ended;
      expect([stopAt, status, second.said(), content()]).toEqual([stopAt, 0, expect.anything(), 'new']);
      expect(restoreStatus(at('target')).phase).toBe('none');
    }
    // Not at the very end: then the request is known to be done.
    expect(waited).toBeGreaterThan(10);
  });

  test.each(['SIGCONT', 'SIGKILL'] as const)('stages: it waits until that one gets %s', async (then) => {
    let stopAt = 0;
    for (; ; stopAt++) {
      const first = await hanging(stopAt, 'exchange', 'keep', 'request', 'stage');
      if (!first) break;
      const second = await waiting('--stage-only', archive, at('target'));
      expect([stopAt, second.waits]).toEqual([stopAt, true]);
      first.child.kill(then);
      const [status] = await second.ended;
      await first.ended;
      expect([stopAt, status, second.said(), content()]).toEqual([stopAt, 0, expect.anything(), 'old']);
      expect(restoreStatus(at('target')).phase).toBe('staged');
      await discardRestore(at('target'));
    }
    expect(stopAt).toBeGreaterThan(4);
  });

  test.each([
    ['--discard', true, 'old'],
    ['--rollback', false, 'old'],
    ['--commit', false, 'new'],
    ['--resume', false, 'new'],
  ] as const)('%s waits too', async (action, stageOnly, expected) => {
    await restore(options({ stageOnly }));
    const attempt = FileLock.tryLock(at('.km-restore-target/lock'));
    const second = await waiting(action, at('target'));
    expect(second.waits).toBe(true);
    if (attempt.acquired) attempt.lock.release();
    expect(await second.ended).toEqual([0, null]);
    expect(content()).toBe(expected);
  });

  test('without --lock-wait it ends at once; a signal ends the wait, and so does its time', async () => {
    await restore(options({ stageOnly: true }));
    const attempt = FileLock.tryLock(at('.km-restore-target/lock'));
    const args = ['restore', '--id=request', archive, at('target')];
    const ask = (...more: string[]) => spawnSync(PROGRAM, [...args, ...more], { encoding: 'utf8' });
    expect(ask()).toMatchObject({ status: 4, stderr: expect.not.stringContaining('Waits') });
    expect(ask('--lock-wait=1')).toMatchObject({
      status: 4,
      stderr: expect.stringContaining('Waits up to 1 s'),
    });
    const second = await waiting(archive, at('target'));
    expect(second.waits).toBe(true);
    second.child.kill('SIGTERM');
    expect(await second.ended).toEqual([143, null]);
    if (attempt.acquired) attempt.lock.release();
    expect([content(), restoreStatus(at('target')).phase]).toEqual(['old', 'staged']);
  });
});

describe('what is staged belongs to its request', () => {
  beforeEach(() => restore(options({ stageOnly: true })));

  test.each<[string, () => Promise<unknown>]>([
    ['another restore', () => restore(options({ id: 'other' }))],
    ['a restore without an id', () => restore(options({ id: undefined }))],
    ['a dry run of another', () => restore(options({ id: 'other', dryRun: true }))],
    ['a commit', () => commitRestore(at('target'))],
    ['a resume', () => resumeRestore(at('target'))],
    ['a rollback of another', () => rollbackRestore(at('target'), { id: 'other' })],
  ])('%s is refused', async (_, act) => {
    await expect(act()).rejects.toMatchObject({
      reason: 'RestoreRefused',
      message: expect.stringContaining('Nothing was changed'),
    });
    expect([content(), restoreStatus(at('target')).phase]).toEqual(['old', 'staged']);
  });

  test('a discard of another does nothing', async () => {
    expect(await discardRestore(at('target'), { id: 'other' })).toContain(
      'nothing is staged by this request',
    );
    expect(restoreStatus(at('target')).phase).toBe('staged');
  });

  test('another digest is refused', async () => {
    const pins = { manifestSha256: digestOf(manifest()) };
    await expect(restore(options({ pins }))).rejects.toMatchObject({ reason: 'ArchiveReplaced' });
    expect(restoreStatus(at('target')).phase).toBe('staged');
  });
});

describe('a request is done once', () => {
  const damage = () => fs.writeFileSync(at('target/file'), 'written since');

  test.each<[string, () => Promise<unknown>]>([
    ['kept', async () => {}],
    ['committed', () => commitRestore(at('target'), { id: 'request' })],
    [
      'committed, and another restored since',
      async () => {
        await commitRestore(at('target'));
        await restore(options({ id: 'later', oldState: 'remove' }));
      },
    ],
  ])('%s: repeated much later, it changes nothing', async (_, then) => {
    await restore(options());
    await then();
    damage();
    expect(await restore(options())).toMatchObject({ outcome: 'already-restored', staged: { files: 2 } });
    expect(content()).toBe('written since');
  });

  test('restored without an old state', async () => {
    await restore(options({ oldState: 'remove' }));
    damage();
    expect(await restore(options())).toMatchObject({ outcome: 'already-restored' });
    expect(content()).toBe('written since');
    // Without an id nobody can repeat it, and nothing is left behind.
    expect(fs.readdirSync(at('.km-restore-target'))).toEqual(['history']);
  });

  test('rolled back: refused, and never called a success', async () => {
    await restore(options());
    await rollbackRestore(at('target'), { id: 'request' });
    await expect(restore(options())).rejects.toMatchObject({ reason: 'AlreadyRolledBack' });
    expect(content()).toBe('old');
    expect(await rollbackRestore(at('target'), { id: 'request' })).toContain('nothing is left to do');
    await expect(commitRestore(at('target'), { id: 'request' })).rejects.toThrow('the old state is back');
  });

  test('a damaged list of what was done refuses requests, but not restores without an id', async () => {
    await restore(options({ oldState: 'remove' }));
    fs.writeFileSync(at('.km-restore-target/history'), '{"version":1');
    await expect(restore(options())).rejects.toThrow(/history.*damaged/);
    expect(await restore(options({ id: undefined, oldState: 'remove' }))).toMatchObject({
      outcome: 'restored',
    });
  });

  test('a rollback of another restore is refused', async () => {
    await restore(options());
    await expect(rollbackRestore(at('target'), { id: 'other' })).rejects.toThrow('belongs to the request');
    expect(content()).toBe('new');
  });

  // In each case: killed anywhere, completed by a repetition, then the whole request is repeated.
  test.each<[string, () => Promise<void>, string[], () => Promise<unknown>]>([
    [
      'restore',
      async () => {},
      ['restore', 'ARCHIVE', 'exchange', 'remove', 'request'],
      () => restore(options({ oldState: 'remove' })),
    ],
    [
      'commit',
      async () => void (await restore(options())),
      ['commit', 'request'],
      () => commitRestore(at('target'), { id: 'request' }),
    ],
    [
      'rollback',
      async () => void (await restore(options())),
      ['rollback', 'request'],
      () => rollbackRestore(at('target'), { id: 'request' }),
    ],
  ])('%s killed before each change', async (action, before, [command, ...more], again) => {
    const seen = new Set<string>();
    for (let kill = 0; ; kill++) {
      makeOld();
      await before();
      const { killed, last } = run(
        kill,
        command!,
        ...more.map((value) => (value === 'ARCHIVE' ? archive : value)),
      );
      if (!killed) break;
      seen.add(last);
      await again();
      expect([last, content()]).toEqual([last, action === 'rollback' ? 'old' : 'new']);
      damage();
      if (action === 'rollback') {
        await expect(restore(options())).rejects.toMatchObject({ reason: 'AlreadyRolledBack' });
      } else expect(await restore(options())).toMatchObject({ outcome: 'already-restored' });
      expect([last, content()]).toEqual([last, 'written since']);
    }
    expect([...seen]).toContain('remember the request');
  });

  test('a repetition alone, after a rollback was killed anywhere, never restores', async () => {
    for (let kill = 0; ; kill++) {
      makeOld();
      await restore(options());
      const { killed, last } = run(kill, 'rollback', 'request');
      if (!killed) break;
      if (last === 'journal swapping') continue;
      await expect(restore(options())).rejects.toMatchObject({ reason: 'AlreadyRolledBack' });
      expect([last, content()]).toEqual([last, 'old']);
    }
  });
});

describe('an archive that was pinned', () => {
  test.each<[string, () => RestoreOptions['pins']]>([
    ['by its manifest', () => ({ manifestSha256: digestOf(manifest()) })],
    ['by itself', () => ({ sha256: digestOf(archive) })],
  ])('%s is restored while it is the same, and refused once it is not', async (_, pins) => {
    const wanted = pins();
    expect(await restore(options({ pins: wanted, dryRun: true }))).toMatchObject({
      outcome: 'would-restore',
    });
    fs.mkdirSync(at('other'));
    fs.writeFileSync(at('other/file'), 'another');
    fs.rmSync(at('archives'), { recursive: true });
    fs.mkdirSync(at('archives'));
    expect(await backUp(at('other'))).toBe(archive);
    await expect(restore(options({ pins: wanted }))).rejects.toMatchObject({ reason: 'ArchiveReplaced' });
    expect(fs.readdirSync(base).sort()).toEqual(['archives', 'other', 'target']);
    expect(content()).toBe('old');
  });

  test('a manifest that is gone is refused', async () => {
    const pins = { manifestSha256: digestOf(manifest()) };
    fs.rmSync(manifest());
    await expect(restore(options({ pins }))).rejects.toMatchObject({ reason: 'ArchiveReplaced' });
  });

  test('replaced while it is unpacked: refused before the swap', async () => {
    const replace = (name: string) => {
      if (name !== 'sync') return;
      fs.copyFileSync(manifest(), at('copy'));
      fs.renameSync(at('copy'), manifest());
    };
    const pins = { manifestSha256: digestOf(manifest()) };
    await expect(restore(options({ pins, failpoint: replace }))).rejects.toMatchObject({
      reason: 'ArchiveReplaced',
    });
    expect([content(), fs.readdirSync(base).sort()]).toEqual(['old', ['archives', 'target']]);
  });
});

describe('--result-file', () => {
  async function restoreBy(...argv: string[]): Promise<{ status: number; result: RestoreResult }> {
    const { status } = await program.run('restore', '--result-file', at('result'), ...argv);
    const text = fs.readFileSync(at('result'), 'utf8');
    expect(text).toMatch(/^[^\n]*\n$/);
    return { status, result: RestoreResult.parse(JSON.parse(text)) };
  }

  test('tells every outcome of a request, in the order of a KmRestore', async () => {
    const named = ['--id', 'request'];
    const told: unknown[] = [];
    const ask = async (...argv: string[]) => {
      const { status, result } = await restoreBy(...argv);
      told.push([status, result.command, result.outcome, result.reason, result.restored?.oldState]);
    };
    await ask(...named, '--stage-only', archive, at('target'));
    await ask(...named, archive, at('target'));
    await ask(...named, archive, at('target'));
    await ask(...named, '--rollback', at('target'));
    await ask(...named, '--rollback', at('target'));
    await ask(...named, archive, at('target'));
    await ask('--id', 'second', '--commit', archive, at('target'));
    await ask('--id', 'second', '--commit', at('target'));
    await ask('--id', 'third', '--stage-only', archive, at('target'));
    await ask('--id', 'third', '--discard', at('target'));
    await ask('--id', 'third', '--discard', at('target'));
    await ask('--expect-manifest', '0'.repeat(64), archive, at('target'));
    await ask(at('missing.tgz'), at('target'));
    await ask('--stage-only', archive, at('target'));
    await ask('--commit', at('target'));
    fs.truncateSync(archive, 100);
    await ask(archive, at('target'));
    const old = '../.km-restore-target/old';
    expect(told).toEqual([
      [0, 'stage', 'Succeeded', 'TreeStaged', undefined],
      [0, 'restore', 'Succeeded', 'TreeRestored', old],
      [0, 'restore', 'Succeeded', 'AlreadyRestored', old],
      [0, 'rollback', 'Succeeded', 'OldStateBack', undefined],
      [0, 'rollback', 'Succeeded', 'OldStateBack', undefined],
      [7, 'restore', 'Failed', 'AlreadyRolledBack', undefined],
      [0, 'restore', 'Succeeded', 'TreeRestored', undefined],
      [0, 'commit', 'Succeeded', 'OldStateRemoved', undefined],
      [0, 'stage', 'Succeeded', 'TreeStaged', undefined],
      [0, 'discard', 'Succeeded', 'StagingDiscarded', undefined],
      [0, 'discard', 'Succeeded', 'StagingDiscarded', undefined],
      [7, 'restore', 'Failed', 'ArchiveReplaced', undefined],
      [1, 'restore', 'Failed', 'ArchiveMissing', undefined],
      [2, 'stage', 'Failed', 'Usage', undefined],
      [7, 'commit', 'Failed', 'RestoreRefused', undefined],
      [5, 'restore', 'Failed', 'ArchiveCorrupt', undefined],
    ]);
  });
});
