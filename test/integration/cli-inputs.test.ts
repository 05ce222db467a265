import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectWords, kmBackup } from '../support/km-backup.ts';

/** Odd inputs and outputs: each command ends by itself, in words, and what it says is true. */

let base: string;
let archive: string;
const at = (...names: string[]) => path.join(base, ...names);
/** The exit status of km-backup in `km-backup | true`. */
const INTO_TRUE = '| true; exit $PIPESTATUS';

const HOSTILE = 'km-backup-\u001b[2J\u202e\nok  forged.tgz';

beforeAll(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-inputs-'));
  for (const name of ['source', 'archives', 'hostile', 'tails', 'target', 'folder', 'empty-source'])
    fs.mkdirSync(at(name));
  fs.writeFileSync(at('source/file'), 'content');
  const made = await kmBackup(['create', '--source', at('source'), '--destination', at('archives')]);
  archive = /Backup written to (.+)/.exec(made.stdout)![1]!;
  fs.copyFileSync(archive, at('hostile', HOSTILE));
  execFileSync('mkfifo', [at('fifo')]);
  fs.symlinkSync('loop', at('loop'));
  fs.writeFileSync(at('empty'), '');
  fs.writeFileSync(at('garbage'), Buffer.alloc(5000, 'not an archive'));
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

describe('zeros and other things after an archive', () => {
  const bytes = () => fs.readFileSync(archive);
  const zstd = () => execFileSync('zstd', ['-q', '-c'], { input: execFileSync('gzip', ['-dc', archive]) });

  beforeAll(() => {
    const zeros = (count: number) => Buffer.alloc(count);
    const tails: Record<string, Buffer> = {
      '20260101T000001Z.tgz': Buffer.concat([bytes(), zeros(1)]),
      '20260101T000002Z.tgz': Buffer.concat([bytes(), zeros(3_000_000)]),
      '20260101T000003Z.tar.zst': Buffer.concat([zstd(), zeros(512)]),
      '20260101T000004Z.tar.zst': Buffer.concat([zstd(), zeros(3_000_000)]),
      '20260101T000005Z.tgz': Buffer.concat([bytes(), Buffer.from('rubbish')]),
      '20260101T000006Z.tar.zst': Buffer.concat([zstd(), zeros(2_000_000), Buffer.from('rubbish')]),
      '20260101T000007Z.tgz': bytes().subarray(0, -3),
      '20260101T000008Z.tar.zst': zstd().subarray(0, -3),
      '20260101T000009Z.tgz': Buffer.concat([bytes().subarray(0, -9), zeros(2_000_000)]),
      '20260101T000010Z.tgz': zeros(0),
    };
    for (const [name, content] of Object.entries(tails))
      fs.writeFileSync(at('tails', `km-backup-${name}`), content);
    fs.copyFileSync(at('tails/km-backup-20260101T000002Z.tgz'), at('tails/km-backup-20260101T000011Z.tgz'));
    fs.copyFileSync(`${archive}.manifest`, at('tails/km-backup-20260101T000011Z.tgz.manifest'));
  });

  test('verify --all gives a verdict on each', async () => {
    const ended = await kmBackup(['verify', '--all', '--json', '--destination', at('tails')]);
    expectWords(ended);
    expect(ended.code).toBe(5);
    const verdicts = ended.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { archive: string; state: string })
      .map(({ archive: file, state }) => [Number(/(\d\d)Z/.exec(file)![1]), state]);
    expect(verdicts.reverse()).toEqual([
      ...[1, 2, 3, 4].map((number) => [number, 'sound']),
      ...[5, 6, 7, 8, 9, 10].map((number) => [number, 'damaged']),
      [11, 'sound'],
    ]);
  });

  test.each(['02Z.tgz', '04Z.tar.zst', '11Z.tgz'])('%s is listed and restored', async (name) => {
    const file = at('tails', `km-backup-20260101T0000${name}`);
    const [ls, restore] = await Promise.all([
      kmBackup(['ls', file]),
      kmBackup(['restore', '--dry-run', file, at('target/new')]),
    ]);
    expect([ls.code, restore.code]).toEqual([0, 0]);
    expect(ls.stdout).toContain('./file');
  });
});

test.each([
  ['list', () => ['list', '--destination', at('hostile')]],
  ['list --json', () => ['list', '--json', '--destination', at('hostile')]],
  ['verify', () => ['verify', '--all', '--destination', at('hostile')]],
  ['prune', () => ['prune', '--dry-run', '--retention-limit', '1', '--destination', at('hostile')]],
  ['ls of a missing one', () => ['ls', at(HOSTILE)]],
  [
    'series and source',
    () => ['create', '--source', at(HOSTILE), '--destination', at('t'), '--series', HOSTILE],
  ],
  ['an argument', () => ['list', `--${HOSTILE}`]],
  ['an option value', () => ['create', '--level', HOSTILE]],
  ['a command', () => [HOSTILE.replaceAll('.', '')]],
])('hostile text is escaped: %s', async (_, args) => {
  const ended = await kmBackup(args());
  expectWords(ended);
  expect(ended.stdout + ended.stderr).not.toMatch(/^ok {2}forged/m);
});

test.each([
  ['list > /dev/full', () => ['list', '--destination', at('archives')], '> /dev/full', 1],
  ['verify > /dev/full', () => ['verify', archive], '> /dev/full', 1],
  ['ls > /dev/full', () => ['ls', archive], '> /dev/full', 1],
  [
    'create > /dev/full',
    () => ['create', '--source', at('source'), '--destination', at('d1')],
    '> /dev/full',
    1,
  ],
  ['--help > /dev/full', () => ['--help'], '> /dev/full', 1],
  ['ls | true', () => ['ls', archive], INTO_TRUE, 0],
  ['verify of a damaged one | true', () => ['verify', at('garbage')], INTO_TRUE, 5],
  ['2> /dev/full', () => ['ls', at('missing')], '2> /dev/full', 1],
  ['>&-', () => ['list', '--destination', at('archives')], '>&-', 0],
])('output that cannot be written: %s', async (name, args, redirect, code) => {
  const ended = await kmBackup(args(), { redirect });
  expectWords(ended);
  if (!name.includes('>&-')) expect(ended.code).toBe(code);
  if (redirect.startsWith('> /dev/full'))
    expect(ended.stderr).toContain('standard output cannot be written (ENOSPC)');
});

test('a run whose path could not be printed has still written its archive', () => {
  expect(fs.readdirSync(at('d1')).filter((name) => name.endsWith('.tgz'))).toHaveLength(1);
});

test.each([
  ['a path', () => ['ls', Buffer.from([0x2f, 0xff, 0x1b])]],
  ['a pattern', () => ['create', '--exclude', Buffer.from([0xc3, 0x28])]],
])('an argument that is not UTF-8 is refused with its bytes: %s', async (_, args) => {
  const ended = await kmBackup(args());
  expectWords(ended);
  expect(ended.code).toBe(2);
  expect(ended.stderr).toMatch(/The argument .*\\x(ff|c3).* is not valid UTF-8/);
});

test('the replacement character is an argument like others', async () => {
  expect((await kmBackup(['ls', '/\ufffd'])).stderr).toContain('/\ufffd does not exist');
});

test.each([
  [
    'level',
    () => ['create', '--source', at('source'), '--destination', at('d'), '--level', '99'],
    2,
    /1 to 12/,
  ],
  ['OUTPUT is a folder', () => [`${at('folder')}`], 2, /is a directory\. Name the file/],
  ['OUTPUT is a FIFO', () => [at('fifo')], 2, /not a regular file/],
  ['OUTPUT in /proc', () => ['/proc/x.tgz'], 1, /\/proc\/.*ENOENT.*takes no new files/],
  ['destination in /proc', () => ['create', '--destination', '/proc/x'], 1, /ENOENT/],
  ['destination below a file', () => ['create', '--destination', at('garbage/x')], 1, /not a directory/],
  ['destination is a loop', () => ['create', '--destination', at('loop')], 1, /too many symbolic links/],
  [
    'result file is a folder',
    () => ['create', '--destination', at('d'), '--result-file', at('folder')],
    2,
    /is a directory/,
  ],
  [
    'result file in none',
    () => ['create', '--destination', at('d'), '--result-file', at('no/r')],
    2,
    /does not exist/,
  ],
  [
    'result file is full',
    () => ['create', '--destination', at('d2'), '--result-file', '/dev/full'],
    7,
    /was written, but the result file was not/,
  ],
  [
    'source is a FIFO',
    () => ['create', '--source', at('fifo'), '--destination', at('d')],
    1,
    /not a directory/,
  ],
  [
    'source is a loop',
    () => ['create', '--source', at('loop'), '--destination', at('d')],
    1,
    /links on the way form a loop/,
  ],
  [
    'source is empty',
    () => ['create', '--source', at('empty-source'), '--destination', at('d')],
    1,
    /pass --allow-empty/,
  ],
  ['extract below a file', () => ['extract', archive, 'file', '-C', at('garbage')], 1, /not a directory/],
  ['extract into /proc', () => ['extract', archive, 'file', '-C', '/proc'], 1, /\/proc.*ENOENT/],
  ['verify of several', () => ['verify', at('missing'), at('garbage'), at('fifo'), archive], 5, /^/],
  ['ls of a folder', () => ['ls', at('folder')], 1, /is a directory, not an archive/],
  ['ls of nothing', () => ['ls', at('empty')], 5, /it is empty/],
  ['ls of something else', () => ['ls', at('garbage')], 5, /does not begin like a gzip or zstd file/],
  ['list of a loop', () => ['list', '--destination', at('loop')], 1, /too many symbolic links/],
  ['list of a file', () => ['list', '--destination', at('garbage')], 1, /is not a directory/],
])('%s', async (_, args, code, words) => {
  const ended = await kmBackup(args(), { env: { KM_BACKUP_SOURCE: at('source') } });
  expectWords(ended);
  expect(ended.code).toBe(code);
  expect(ended.stderr).toMatch(words);
});

test('a manifest that is a FIFO does not hang anything', async () => {
  fs.mkdirSync(at('with-fifo'));
  fs.copyFileSync(archive, at('with-fifo/km-backup-20260101T000000Z.tgz'));
  execFileSync('mkfifo', [at('with-fifo/km-backup-20260101T000000Z.tgz.manifest')]);
  const ended = await kmBackup(['verify', '--all', '--destination', at('with-fifo')]);
  expectWords(ended);
  expect([ended.code, ended.stdout]).toEqual([1, expect.stringMatching(/^unreadable .*not a regular file/)]);
});
