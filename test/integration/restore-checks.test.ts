import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest';
import { RestoreResult } from '../../src/api/restore-result.ts';
import { ProgramAs } from '../support/restore-as.ts';
import { describeTree } from '../support/tree.ts';

/* Checks of restored content before it goes live. */

let base: string;
const at = (...names: string[]) => path.join(base, ...names);
const program = new ProgramAs(process.getuid!());
afterAll(() => program[Symbol.dispose]());
beforeEach(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-checks-'));
  for (const name of ['target', 'source/sub', 'out']) fs.mkdirSync(at(name), { recursive: true });
  fs.writeFileSync(at('target/live'), 'live');
});
afterEach(() => fs.rmSync(base, { recursive: true, force: true }));

const file = (name: string) => at('source/sub', name);
const write = (name: string, content: string | Buffer) => () => fs.writeFileSync(file(name), content);

function makeDatabase(name: string, rows = 2000): void {
  const database = new DatabaseSync(file(name));
  database.exec('CREATE TABLE t (a, b); CREATE INDEX i ON t (b)');
  const insert = database.prepare('INSERT INTO t VALUES (?, ?)');
  database.exec('BEGIN');
  for (let row = 0; row < rows; row++) insert.run(row, `value ${row}`.repeat(5));
  database.exec('COMMIT');
  database.close();
}

function damage(name: string, offset: number): void {
  const fd = fs.openSync(file(name), 'r+');
  fs.writeSync(fd, Buffer.alloc(3000, 0xaa), 0, 3000, offset);
  fs.closeSync(fd);
}

/** As a killed writer leaves it: the rows are in the WAL only. */
function makeWithWal(change: (wal: string) => void = () => {}): void {
  const database = new DatabaseSync(at('live.db'));
  database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  for (const ending of ['', '-wal']) fs.copyFileSync(at(`live.db${ending}`), file(`w.db${ending}`));
  database.close();
  change(file('w.db-wal'));
}

async function restore(...argv: string[]) {
  execFileSync('tar', ['-czf', at('archive.tgz'), '--format=posix', '-C', at('source'), '.']);
  const command = ['restore', '--result-file', at('out/result'), ...argv, at('archive.tgz'), at('target')];
  const { status } = await program.run(...command);
  return { status, result: RestoreResult.parse(JSON.parse(fs.readFileSync(at('out/result'), 'utf8'))) };
}

test.each<[string, string[], () => void, object]>([
  ['a sound database', ['--check-sqlite=*.db'], () => makeDatabase('a.db'), { check: 'sqlite', files: 1 }],
  ['a database with a WAL', ['--check-sqlite=*.db'], () => makeWithWal(), { check: 'sqlite', files: 1 }],
  [
    'JSON',
    ['--check-json=/sub/*.json', '--check-json=*.js'],
    () => {
      write('a.json', '{"a":[1,2,"\u00e9"]}')();
      write('b.js', '1')();
    },
    { check: 'json', files: 2 },
  ],
  [
    'gzip, of several members',
    ['--check-gzip=**/*.gz'],
    write('a.gz', Buffer.concat([gzipSync('a'), gzipSync('b')])),
    {
      check: 'gzip',
      files: 1,
    },
  ],
])('%s passes, and the staged tree stays as it was', async (_, argv, make, expected) => {
  make();
  const before = describeTree(at('source'));
  const { status, result } = await restore(...argv);
  expect(status).toBe(0);
  expect(result.checks).toEqual([{ ...expected, failed: 0, samples: [] }]);
  expect(describeTree(at('target'))).toEqual(before);
});

test.each<[string, string, () => void, RegExp]>([
  [
    'a damaged page',
    '--check-sqlite=*.db',
    () => {
      makeDatabase('a.db');
      damage('a.db', 4096 * 3);
    },
    /^sub\/a\.db: /,
  ],
  [
    'a database that is none',
    '--check-sqlite=*.db',
    write('a.db', 'x'.repeat(5000)),
    /^sub\/a\.db: file is not a database$/,
  ],
  ['an empty database', '--check-sqlite=*.db', write('a.db', ''), /it is empty/],
  ['JSON that is cut', '--check-json=*.json', write('a.json', '{"a":'), /it ends in the middle of a value/],
  [
    'JSON that is not UTF-8',
    '--check-json=*.json',
    write('a.json', Buffer.from([0x22, 0xff, 0x22])),
    /not valid/,
  ],
  [
    'gzip that is cut',
    '--check-gzip=*.gz',
    write('a.gz', gzipSync('abc'.repeat(100)).subarray(0, 20)),
    /unexpected end of file/,
  ],
  [
    'gzip with a wrong checksum',
    '--check-gzip=*.gz',
    () => {
      const packed = gzipSync('abc');
      packed[packed.length - 8]! ^= 1;
      write('a.gz', packed)();
    },
    /incorrect data check/,
  ],
  [
    'a pattern that finds nothing',
    '--check-sqlite=missing.db',
    write('a', ''),
    /^no file matches missing\.db$/,
  ],
])('%s fails the restore before the swap', async (_, option, make, expected) => {
  make();
  const before = describeTree(at('target'));
  const { status, result } = await restore(option);
  expect([status, result.outcome, result.reason]).toEqual([7, 'Failed', 'ContentCheckFailed']);
  expect(result.checks).toEqual([
    expect.objectContaining({ failed: 1, samples: [expect.stringMatching(expected)] }),
  ]);
  expect(describeTree(at('target'))).toEqual(before);
  expect(fs.readdirSync(base).sort()).not.toContain('.km-restore-target');
});

test('what was staged without checks is checked before it is swapped in', async () => {
  write('a.json', '{')();
  expect(await restore('--id=one', '--stage-only')).toMatchObject({ status: 0 });
  expect((await restore('--id=one', '--check-json=*.json')).result.reason).toBe('ContentCheckFailed');
  expect(fs.readdirSync(at('target'))).toEqual(['live']);
  // A repetition of a stage that was checked reports its checks.
  write('a.json', '{}')();
  await program.run('restore', '--discard', at('target'));
  for (let turn = 0; turn < 2; turn++) {
    const { result } = await restore('--id=two', '--stage-only', '--check-json=*.json');
    expect(result.checks).toEqual([{ check: 'json', files: 1, failed: 0, samples: [] }]);
  }
});
