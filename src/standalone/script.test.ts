import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runScript } from './script.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(os.tmpdir(), 'km-script-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function run(body: string, signal = new AbortController().signal, onLine: (line: string) => void = () => {}) {
  const script = path.join(directory, 'script.sh');
  writeFileSync(script, `#!/bin/sh\n${body}\n`);
  chmodSync(script, 0o755);
  return runScript({
    command: script,
    args: [],
    env: { PATH: process.env['PATH'], KM_BACKUP_DEST: directory },
    signal,
    onLine,
  });
}

const make = (name: string) => `printf data > "$KM_BACKUP_DEST/${name}"`;

describe('what a script says', () => {
  test('the last line that names an archive counts', async () => {
    const outcome = await run(
      `${make('one.tgz')}; ${make('two.tgz')}
       echo "Backup written to $KM_BACKUP_DEST/one.tgz"
       echo "Backup written to $KM_BACKUP_DEST/two.tgz"
       echo done`,
    );
    expect(outcome).toEqual({
      kind: 'written',
      incomplete: false,
      path: path.join(directory, 'two.tgz'),
      sizeBytes: 4,
    });
  });
  test('with spaces in its path, no newline at its end and a carriage return', async () => {
    const outcome = await run(
      `${make('a b.tgz')}; printf 'Backup written to %s/a b.tgz\\r' "$KM_BACKUP_DEST"`,
    );
    expect(outcome).toMatchObject({ kind: 'written', path: path.join(directory, 'a b.tgz') });
  });
  test.each([
    ['no such line', 'echo "all well"', /printed no line "Backup written to PATH"/],
    ['on standard error only', 'echo "Backup written to /tmp" >&2', /printed no line/],
    ['indented', 'echo " Backup written to /tmp"', /printed no line/],
    ['a file that is not there', 'echo "Backup written to /nowhere/x.tgz"', /no such file/],
    ['a directory', 'echo "Backup written to $KM_BACKUP_DEST"', /no such file/],
    [
      'a bad exit status after it',
      `${make('x.tgz')}; echo "Backup written to $KM_BACKUP_DEST/x.tgz"; echo "disk full" >&2; exit 1`,
      /script\.sh exited with 1: disk full/,
    ],
    ['killed', 'kill -9 $$', /was ended by SIGKILL/],
  ])('%s is a failure', async (_, body, error) => {
    expect(await run(body)).toEqual({ kind: 'failed', error: expect.stringMatching(error) });
  });
  test('3 with an archive is incomplete', async () => {
    expect(
      await run(`${make('x.tgz')}; echo "Backup written to $KM_BACKUP_DEST/x.tgz"; exit 3`),
    ).toMatchObject({ kind: 'written', incomplete: true });
    expect(await run('exit 3')).toMatchObject({ kind: 'failed' });
  });
  test('4 is skipped', async () => {
    expect(await run('echo held >&2; exit 4')).toMatchObject({
      kind: 'skipped',
      error: expect.stringContaining('held'),
    });
  });
  test('a program that is not there', async () => {
    const outcome = await runScript({
      command: path.join(directory, 'missing'),
      args: [],
      env: {},
      signal: new AbortController().signal,
      onLine: () => {},
    });
    expect(outcome).toMatchObject({
      kind: 'failed',
      error: expect.stringMatching(/could not be started.*ENOENT/),
    });
  });
});

test('hostile and endless output stays bounded and on one line', async () => {
  const lines: string[] = [];
  const outcome = await run(
    `printf 'a\\033[2Jb\\n' >&2; head -c 3000000 /dev/zero | tr '\\0' x >&2; head -c 3000000 /dev/zero | tr '\\0' y; exit 1`,
    undefined,
    (line) => lines.push(line),
  );
  expect(lines[0]).toBe('a\\x1b[2Jb');
  expect(lines[1]).toHaveLength(500);
  expect(outcome.kind === 'failed' && outcome.error.length).toBeLessThan(1200);
});

test('on abort the whole process group ends, with time to clean up', async () => {
  const controller = new AbortController();
  const ready = path.join(directory, 'ready');
  const cleaned = path.join(directory, 'cleaned');
  const pidFile = path.join(directory, 'pid');
  const running = run(
    `trap 'echo yes > ${cleaned}; exit 143' TERM; sleep 300 & echo $! > ${pidFile}; echo ready > ${ready}; wait`,
    controller.signal,
  );
  await expect.poll(() => existsSync(ready)).toBe(true);
  controller.abort();
  expect(await running).toMatchObject({ kind: 'failed', error: expect.stringContaining('exited with 143') });
  expect(readFileSync(cleaned, 'utf8')).toBe('yes\n');
  const child = Number(readFileSync(pidFile, 'utf8'));
  await expect
    .poll(
      () =>
        existsSync(`/proc/${child}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${child}/status`, 'utf8')),
    )
    .toBe(false);
});
