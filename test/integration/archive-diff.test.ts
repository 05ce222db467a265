/** `km-backup diff` and `history` on real archives, and every command of docs/history.md. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Difference, diffArchives, display } from '../../src/archive/index.ts';
import { generateKeyPair, Sealer } from '../../src/offsite/age.ts';
import { DirectoryLocation } from '../../src/offsite/directory-location.ts';
import { checkout, program, Sandbox } from '../support/backup.ts';
import { copyTo } from '../support/copies.ts';
import { expectWords, kmBackup } from '../support/km-backup.ts';

const HOSTILE = 'evil\u001b[2J\u202e\nname';

let box: Sandbox;
/** The archives of three nights, as in docs/history.md. */
const nights: string[] = [];
const at = (...names: string[]) => path.join(box.root, ...names);

beforeAll(async () => {
  box = new Sandbox();
  const stamp = (name: string, time: string) =>
    fs.utimesSync(at('source', name), new Date(time), new Date(time));
  const night = async (day: number) => {
    const now = new Date(`2026-01-0${day}T02:00:00Z`);
    const { result } = await box.back({ now: () => now });
    nights.push(result.archive!.path);
  };
  for (const name of ['notes/old.md', 'notes/plan.md']) box.write(name, 'ten bytes\n');
  box.write('notes/old.md', 'twelve bytes');
  box.write('run.sh', '');
  stamp('notes/plan.md', '2026-01-01T01:00:00Z');
  await night(1);
  await night(2);
  box.write('notes/new.md', 'fourteen bytes');
  fs.rmSync(at('source/notes/old.md'));
  box.write('notes/plan.md', 'now nineteen bytes\n');
  stamp('notes/plan.md', '2026-01-03T01:00:00Z');
  fs.chmodSync(at('source/run.sh'), 0o755);
  await night(3);
  const keys = await generateKeyPair();
  fs.writeFileSync(at('key.txt'), `${keys.identity}\n`);
  const location = new DirectoryLocation(at('location'));
  for (const archive of nights) await copyTo(location, archive, { sealer: new Sealer([keys.recipient]) });
});
afterAll(() => box[Symbol.dispose]());

const local = { env: () => ({ KM_BACKUP_DEST: box.destination }) };

describe('docs/history.md', () => {
  const page = fs.readFileSync(path.join(checkout, 'docs/history.md'), 'utf8');
  const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```(?:\n\n```text\n([\s\S]*?)```)?/g)];

  test.each(blocks.map(([, command, output]) => [command!, output]))('%s', (command, output) => {
    const printed = execFileSync('sh', ['-ec', command], {
      cwd: box.root,
      env: {
        PATH: `${path.dirname(program)}:${process.env['PATH']}`,
        KM_BACKUP_DEST: box.destination,
        LOCATION: `dir:${at('location')}`,
      },
      encoding: 'utf8',
    });
    if (output !== undefined) expect(printed).toBe(output);
    else expect(printed).not.toBe('');
  });

  test('no line of the output is wider than 80 columns, and a diff fits into 60', () => {
    const outputs = blocks.flatMap(([, command, output]) =>
      output ? [{ command, lines: output.split('\n') }] : [],
    );
    expect(outputs).toHaveLength(2);
    for (const { command, lines } of outputs) {
      const limit = command!.includes('diff') ? 60 : 80;
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(limit);
    }
  });
});

test('exit codes: 0 with and without differences, 6 on request, 2 for wrong arguments', async () => {
  const [first, second, third] = nights as [string, string, string];
  const codes = await Promise.all(
    [
      [first, third],
      [first, third, '--exit-code'],
      [first, second, '--exit-code'],
      [first, third, '--exit-code', '--include', 'nowhere'],
      [first, second, third],
      [first, at('missing.tgz')],
    ].map(async (args) => {
      const ended = await kmBackup(['diff', ...args], { env: local.env() });
      expectWords(ended);
      return ended.code;
    }),
  );
  expect(codes).toEqual([0, 6, 0, 0, 2, 1]);
});

test('previous and newest are of one series, and damaged archives are not meant', async () => {
  const many = at('many');
  fs.cpSync(box.destination, many, { recursive: true });
  const now = () => new Date('2026-01-04T02:00:00Z');
  await box.back({ destination: many, series: 'other', now });
  fs.writeFileSync(path.join(many, 'km-backup-20260105T020000Z.tgz'), 'garbage');
  const alone = await kmBackup(['diff', '--destination', many]);
  expectWords(alone);
  expect([alone.code, alone.stderr]).toEqual([1, expect.stringContaining('only archive of its series')]);
  const named = await kmBackup(['diff', path.basename(nights[0]!), 'newest', '--destination', many]);
  expect(named.stdout).toContain('--- km-backup-20260101T020000Z.tgz\n+++ km-backup-20260104T020000Z.tgz\n');
  const history = await kmBackup(['history', 'run.sh', '--destination', many]);
  expectWords(history);
  expect(history.stdout.split('\n')[1]).toMatch(/^km-backup-20260105T020000Z.tgz +- +unreadable/);
  expect(history.stderr).toContain('km-backup-20260105T020000Z.tgz is skipped');
});

test('hostile names cannot forge lines, and JSON brings them back', async () => {
  using other = new Sandbox();
  other.write('plain', 'x');
  fs.writeFileSync(Buffer.from(`${other.source}/latin-\xe9`, 'latin1'), 'x');
  const one = await other.back({ now: () => new Date('2026-01-01T00:00:00Z') });
  other.write(HOSTILE, 'y');
  fs.writeFileSync(Buffer.from(`${other.source}/latin-\xe9`, 'latin1'), 'yz');
  await other.back({ now: () => new Date('2026-01-02T00:00:00Z') });
  const text = await kmBackup(['diff', '--destination', other.destination]);
  const json = await kmBackup(['diff', '--json', '--destination', other.destination]);
  expectWords(text);
  expectWords(json);
  expect(text.stdout).toContain('evil\\x1b[2J\\u{202e}\\nname');
  const rows = json.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { change?: string; after?: { path?: string; pathBytes?: string } });
  expect(rows.map(({ change, after }) => [change, after?.path ?? after?.pathBytes])).toEqual([
    ['added', HOSTILE],
    ['changed', 'latin-\xe9'],
    [undefined, undefined],
  ]);
  const asked = await kmBackup(['history', HOSTILE, '--json', '--destination', other.destination]);
  expect(
    asked.stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { change: string }).change),
  ).toEqual(['absent', 'added']);
  const up = await kmBackup(['history', '../etc', '--destination', other.destination]);
  expectWords(up);
  expect([one.exitCode, up.code]).toEqual([0, 2]);
});

test('a tar of another program: by size and time, and said', async () => {
  const foreign = path.join(at('foreign'), 'km-backup-20260104T020000Z.tgz');
  fs.mkdirSync(at('foreign'));
  execFileSync('tar', ['-czf', foreign, '-C', box.source, '.']);
  const same = await kmBackup(['diff', nights[2]!, foreign]);
  expectWords(same);
  expect(same.stdout).toMatch(/unchanged +5/);
  expect(same.stderr).toContain('has no manifest');
  box.write('notes/new.md', 'fourteen BYTES');
  execFileSync('tar', ['-czf', foreign, '-C', box.source, '.']);
  const changed = await kmBackup(['diff', nights[2]!, foreign]);
  expect(changed.stdout).toContain('notes/new.md (content, mtime)');
  const asked = await kmBackup(['history', 'notes/new.md', '--destination', at('foreign')]);
  expect(asked.stdout).toMatch(/14 B +oldest/);
});

test('large files, sparse files and hard links, each changed a little', async () => {
  using other = new Sandbox();
  const large = Buffer.alloc(9 << 20, 'a');
  other.write('large', large);
  other.write('same', large);
  const sparse = other.write('sparse', '');
  fs.truncateSync(sparse, 20 << 20);
  other.write('links/first', 'linked');
  fs.linkSync(path.join(other.source, 'links/first'), path.join(other.source, 'links/second'));
  other.clockAheadMs = 5000;
  const one = await other.back();
  large[5 << 20] = 98;
  other.write('large', large);
  const fd = fs.openSync(sparse, 'r+');
  fs.writeSync(fd, 'x', 10 << 20);
  fs.closeSync(fd);
  fs.rmSync(path.join(other.source, 'links/first'));
  other.clockAheadMs = 10_000;
  const two = await other.back();
  const found: Difference[] = [];
  const differences = diffArchives({ before: one.result.archive!.path, after: two.result.archive!.path });
  for await (const batch of differences) found.push(...batch);
  expect(found.map(({ change, path: name, aspects }) => [change, display(name), aspects])).toEqual([
    ['changed', 'large', ['content', 'mtime']],
    ['removed', 'links/first', undefined],
    ['metadata', 'links/second', ['link']],
    ['changed', 'sparse', ['content', 'mtime']],
  ]);
});

test('a reader that goes away ends it quietly', async () => {
  const ended = await kmBackup(['diff', nights[0]!, nights[2]!], { redirect: '| true; exit $PIPESTATUS' });
  expectWords(ended);
  expect(ended.code).toBe(0);
});
