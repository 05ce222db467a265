import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

/** What a pod's log says about a restore: there, standard error is not a terminal. */

const program = path.join(import.meta.dirname, '../../bin/km-backup');
const km = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return { status, stdout, stderr };
};
const FILES = 300;
const SMALL = 1000;
const LARGE = 9 * 1024 * 1024 + 77;
const SPARSE_DATA = 5 * 1024 * 1024;
const DATA = FILES * SMALL + LARGE + SPARSE_DATA;

let base: string;
let archive: string;
const at = (...names: string[]) => path.join(base, ...names);
beforeAll(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-progress-'));
  for (const name of ['source', 'archives', 'legacy']) fs.mkdirSync(at(name));
  for (let i = 0; i < FILES; i++) fs.writeFileSync(at('source', `file ${i}`), 'x'.repeat(SMALL));
  fs.writeFileSync(at('source/large'), randomBytes(LARGE));
  const sparse = fs.openSync(at('source/sparse'), 'w');
  fs.writeSync(sparse, randomBytes(SPARSE_DATA), 0, SPARSE_DATA, 8 * 1024 * 1024);
  fs.ftruncateSync(sparse, 30 * 1024 * 1024);
  fs.closeSync(sparse);
  fs.symlinkSync('large', at('source/link'));
  const created = km('create', '--source', at('source'), '--destination', at('archives'));
  archive = /Backup written to (.*)\n/.exec(created.stdout)![1]!;
  fs.copyFileSync(archive, at('legacy', path.basename(archive)));
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

const counted = { ofFiles: FILES + 2, files: FILES + 2 };

test.each([
  ['with a manifest', 'archives', 'keep', ['validating', 'unpacking', 'syncing', 'swapping']],
  ['without one', 'legacy', 'keep', ['validating', 'unpacking', 'syncing', 'swapping']],
  [
    'whose old state goes',
    'archives',
    'commit',
    ['validating', 'unpacking', 'syncing', 'swapping', 'removing the old state'],
  ],
])('lines of JSON of a restore %s', (_, directory, old, phases) => {
  const target = fs.mkdtempSync(at('target-'));
  fs.writeFileSync(path.join(target, 'before'), 'before');
  const file = at(directory, path.basename(archive));
  const { status, stdout, stderr } = km(
    'restore',
    '--progress=json',
    ...(old === 'commit' ? ['--commit'] : []),
    file,
    target,
  );
  expect(status).toBe(0);
  expect(stdout).toMatch(/^Restored /);
  const lines = stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const progress = lines.slice(0, -1);
  const begun = progress.map(({ phase }) => phase).filter((phase, i, all) => phase !== all[i - 1]);
  expect(begun).toEqual(phases);
  for (const line of progress) {
    expect(line).toMatchObject({ event: 'progress', seconds: expect.any(Number) });
    if (line['ofFiles'] !== undefined) expect(line['files']).toBeLessThanOrEqual(line['ofFiles'] as number);
    if (line['ofBytes'] !== undefined) expect(line['bytes']).toBeLessThanOrEqual(line['ofBytes'] as number);
  }
  expect(progress.find(({ phase }) => phase === 'unpacking')).toMatchObject({
    ofFiles: counted.ofFiles,
    ofBytes: directory === 'archives' ? DATA : fs.statSync(file).size,
  });
  expect(progress.find(({ phase }) => phase === 'syncing')).toMatchObject(counted);
  expect(lines.at(-1)).toMatchObject({
    event: 'finished',
    outcome: 'restored',
    files: counted.files,
    bytes: DATA,
    warnings: 0,
  });
});

test.each(['new', 'empty'])('a target that is %s has no old state to remove', (kind) => {
  const target = at(`${kind} target`);
  if (kind === 'empty') fs.mkdirSync(target);
  const { status, stdout, stderr } = km('restore', '--progress=json', '--commit', archive, target);
  expect([status, stderr]).toEqual([0, expect.not.stringContaining('removing the old state')]);
  expect(stderr).toContain('"phase":"swapping"');
  expect(stdout).toMatch(/^Restored .*: 304 entries, 14\.3 MiB, checked by manifest\.\n$/);
});

test('unasked and without a terminal: the summary alone', () => {
  const restored = km('restore', archive, at('new'));
  expect(restored.stderr).toMatch(/^302 files, 14\.3 MiB in [\d.]+ s, [\d.]+ [KM]iB\/s; 0 warnings\n$/);
  const verified = km('verify', '--all', '--deep', '--destination', at('archives'));
  expect(verified.stderr).toMatch(/^1 archive, 14\.\d MiB in [\d.]+ s, [\d.]+ [KMG]iB\/s; 0 damaged\n$/);
  expect(km('restore', '--progress=none', archive, at('newer')).stderr).toBe('');
});

test('a failure ends the lines too', () => {
  const { status, stderr } = km(
    'restore',
    '--progress=json',
    '--dry-run',
    archive,
    at('archives/none/there'),
  );
  const [line] = stderr.split('\n');
  expect(status).toBe(7);
  expect(JSON.parse(line!)).toMatchObject({
    event: 'finished',
    outcome: 'failed',
    reason: expect.any(String),
  });
});
