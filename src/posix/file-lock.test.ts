import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FileLock } from './file-lock.ts';

let directory: string;
let file: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'km-lock-'));
  file = path.join(directory, '.lock');
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

/** A process of its own that holds the lock until it is killed. */
async function holderProcess() {
  const module = fileURLToPath(new URL('./file-lock.ts', import.meta.url));
  const script = `const { FileLock } = await import(${JSON.stringify(module)});
    console.log(FileLock.tryLock(${JSON.stringify(file)}).acquired);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, answer: line.toString().trim() };
}

function acquired() {
  const attempt = FileLock.tryLock(file);
  if (!attempt.acquired) throw new Error('lock is taken');
  return attempt.lock;
}

test('one holder at a time, also within a process; free again after release', () => {
  const lock = acquired();
  expect(FileLock.tryLock(file)).toEqual({
    acquired: false,
    holder: { host: os.hostname(), pid: process.pid, since: expect.stringMatching(/^\d{4}-/) },
  });
  lock.release();
  lock.release();
  expect(lock.held).toBe(false);
  acquired().release();
});

test('closing another descriptor of the file does not drop the lock, as a POSIX record lock would be', () => {
  using _lock = acquired();
  fs.closeSync(fs.openSync(file, 'r+'));
  expect(FileLock.tryLock(file).acquired).toBe(false);
});

test('a holder killed by SIGKILL leaves the lock free at once', async () => {
  const { child, answer } = await holderProcess();
  expect(answer).toBe('true');
  expect(FileLock.tryLock(file)).toMatchObject({ acquired: false, holder: { pid: child.pid } });
  child.kill('SIGKILL');
  await once(child, 'exit');
  acquired().release();
});

test('waits for the holder up to the limit', async () => {
  const first = acquired();
  expect((await FileLock.lock(file, { waitMs: 20 })).acquired).toBe(false);
  const waiting = FileLock.lock(file, { waitMs: 60_000 });
  first.release();
  const attempt = await waiting;
  expect(attempt.acquired).toBe(true);
  if (attempt.acquired) attempt.lock.release();
});

test('an abort ends the wait with its reason', async () => {
  using _lock = acquired();
  const controller = new AbortController();
  const waiting = FileLock.lock(file, { waitMs: 60_000, signal: controller.signal });
  controller.abort(new Error('stopped'));
  await expect(waiting).rejects.toThrow('stopped');
});

test('a lock file replaced by another inode does not make two holders', () => {
  using _old = acquired();
  fs.rmSync(file);
  using _new = acquired();
  expect(FileLock.tryLock(file).acquired).toBe(false);
});

test('refuses to lock through a symlink', () => {
  fs.symlinkSync(path.join(directory, 'elsewhere'), file);
  expect(() => FileLock.tryLock(file)).toThrow(expect.objectContaining({ code: 'ELOOP' }));
  expect(fs.existsSync(path.join(directory, 'elsewhere'))).toBe(false);
});

test('a forged holder is not printed as it stands', () => {
  using _lock = acquired();
  fs.writeFileSync(file, JSON.stringify({ host: 'a\u001b[31m\n', pid: 1, since: 'x y' }));
  expect(FileLock.tryLock(file)).toEqual({
    acquired: false,
    holder: { host: 'a??31m?', pid: 1, since: 'x?y' },
  });
});
