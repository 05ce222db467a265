/** The guard on the real file system: what it finds, that nothing is removed until a person approves, and docs/guard.md. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RunOptions } from '../../src/archive/create/run-backup.ts';
import { guardWith, type Suspicion, suspicionOf } from '../../src/archive/index.ts';
import { DirectoryLocation } from '../../src/offsite/directory-location.ts';
import { pruneCopies } from '../../src/offsite/prune.ts';
import { existingWriterOf } from '../../src/offsite/writer-state.ts';
import { checkout, program, Sandbox } from '../support/backup.ts';
import { copyTo } from '../support/copies.ts';
import { expectWords, kmBackup } from '../support/km-backup.ts';

const LIMITS = { maxShrinkPercent: 30, maxChangePercent: 50 };
const MIB = 1024 * 1024;

let box: Sandbox;
beforeEach(() => {
  box = new Sandbox();
  // Retention does not count archives of the future.
  box.clockAheadMs = -3_600_000;
});
afterEach(() => box[Symbol.dispose]());

/** A run, 10 seconds after the one before it. */
async function backUp(more: Partial<RunOptions> = {}) {
  box.clockAheadMs += 10_000;
  const { result } = await box.back({ guard: guardWith(LIMITS), retention: { limit: 1 }, level: 1, ...more });
  return { ...result, name: result.archive!.name, path: result.archive!.path };
}

const archives = () =>
  fs.existsSync(box.destination) ? box.names().filter((name) => name.endsWith('.tgz')) : [];
const text = (megabytes: number, word: string) => Buffer.alloc(megabytes * MIB, `${word} of a text. `);

function fill(files = 20): void {
  for (let file = 0; file < files; file++) box.write(`docs/${file}`, `document ${file}`);
}

describe('what is suspicious', () => {
  beforeEach(() => fill());
  const remove = (files: number) => {
    for (let file = 0; file < files; file++) fs.rmSync(path.join(box.source, `docs/${file}`));
  };
  const change = (files: number) => {
    for (let file = 0; file < files; file++) box.write(`docs/${file}`, `something else ${file}`);
  };
  const chmod = () => {
    for (let file = 0; file < 20; file++) fs.chmodSync(path.join(box.source, `docs/${file}`), 0o600);
  };
  test.each<[string, () => void, string[] | undefined]>([
    ['nothing changed', () => {}, undefined],
    ['half of the files changed', () => change(10), undefined],
    ['more changed', () => change(11), ['change']],
    ['a third is gone', () => remove(7), ['shrink']],
    ['all but one are gone', () => remove(19), ['shrink', 'change']],
    ['only modes changed', chmod, undefined],
    [
      'all were renamed',
      () => fs.renameSync(path.join(box.source, 'docs'), path.join(box.source, 'papers')),
      ['change'],
    ],
    ['much was added', () => box.write('photo', randomBytes(20 * MIB)), undefined],
  ])('%s', async (_, act, rules) => {
    const first = await backUp();
    expect(first.suspicious).toBeUndefined();
    act();
    const second = await backUp();
    expect(second.suspicious?.rules).toEqual(rules);
    expect(second.outcome).toBe('Succeeded');
    expect(suspicionOf(second.path) !== undefined).toBe(rules !== undefined);
    expect(second.pruned.names).toEqual(rules ? [] : [first.name]);
  });

  test('content that no longer compresses: in small files, in a large one, under other names', async () => {
    for (const suffix of ['', '.locked']) {
      fs.rmSync(box.source, { recursive: true });
      fs.mkdirSync(box.source);
      box.write('large', text(12, 'page'));
      for (let file = 0; file < 60; file++) box.write(`small/${file}`, text(0.2, `note ${file}`));
      await backUp({ guard: undefined });
      const encrypt = (name: string, megabytes: number) => {
        fs.rmSync(path.join(box.source, name));
        box.write(name + suffix, randomBytes(megabytes * MIB));
      };
      encrypt('large', 12);
      for (let file = 0; file < 60; file++) encrypt(`small/${file}`, 0.2);
      const { suspicious } = await backUp({ guard: guardWith({ maxChangePercent: 100 }) });
      expect(suspicious?.rules).toEqual(['compression']);
      expect(suspicious?.message).toContain('It may have been encrypted');
    }
  });

  test('a log that is rotated and compressed is not', async () => {
    box.write('log', text(40, 'line'));
    await backUp();
    fs.renameSync(path.join(box.source, 'log'), path.join(box.source, 'log.1'));
    execFileSync('gzip', [path.join(box.source, 'log.1')]);
    const { suspicious } = await backUp({ guard: guardWith({ maxChangePercent: 100 }) });
    expect(suspicious).toBeUndefined();
  });

  test('an archive is compared with the newest of its series that can be read', async () => {
    const other = await backUp({ series: 'other' });
    remove(19);
    expect((await backUp()).suspicious, 'the first of its series').toBeUndefined();
    const again = await backUp({ series: 'other' });
    expect(again.suspicious?.comparedWith).toBe(other.name);
    fs.writeFileSync(`${again.path}.manifest`, 'damaged');
    fill();
    const last = await backUp({ series: 'other' });
    expect([last.suspicious, last.notes]).toEqual([undefined, undefined]);
  });
});

describe('while an archive is suspicious', () => {
  async function suspicious() {
    fill();
    await backUp();
    for (let file = 0; file < 15; file++) fs.rmSync(path.join(box.source, `docs/${file}`));
    return await backUp();
  }

  test('no run and no command removes an archive, until it is approved', async () => {
    const bad = await suspicious();
    const next = await backUp();
    const without = await backUp({ guard: undefined });
    expect([next.suspicious, next.pruned.count, without.pruned.count]).toEqual([undefined, 0, 0]);
    expect(next.present.suspicious).toEqual([bad.name]);
    const prune = ['prune', '--retention-limit', '1', '--destination', box.destination];
    const kept = await kmBackup(prune);
    expectWords(kept);
    expect(kept.stdout).toContain(`${bad.name} is suspicious and not approved: nothing is removed`);
    expect(archives()).toHaveLength(4);

    const list = await kmBackup(['list', '--destination', box.destination]);
    expect(list.stdout).toContain('complete, suspicious');
    expect(list.stderr).toContain(`km-backup approve ${bad.name}`);
    const approve = ['approve', bad.name, '--destination', box.destination];
    const words = [await kmBackup(approve), await kmBackup(approve)].map(({ stdout }) => stdout);
    expect(words[0]).toBe(`Approved ${bad.name}.\n`);
    expect(words[1]).toMatch(/was approved at 20/);
    const fine = await kmBackup(['approve', next.name, '--destination', box.destination]);
    expect([fine.code, fine.stdout]).toEqual([0, `${next.name} is not suspicious.\n`]);

    await kmBackup(prune);
    expect(box.names().filter((name) => name.startsWith('km-backup-'))).toEqual([
      without.name,
      `${without.name}.manifest`,
    ]);
  });

  test('a run that is told of the approval removes what it should', async () => {
    const bad = await suspicious();
    const next = await backUp({ approve: [bad.name, 'no-archive', '../../etc/passwd'] });
    expect(next.pruned.names).toContain(bad.name);
    expect(next.present).toMatchObject({ count: 1, suspicious: [] });
  });

  test.each(['{', '', '{"version":2}', '\0'])(
    'a damaged record (%j) counts as suspicious',
    async (content) => {
      const bad = await suspicious();
      fs.writeFileSync(`${bad.path}.suspicious`, content);
      expect((await backUp()).pruned.count).toBe(0);
      await kmBackup(['approve', bad.path]);
      expect((await backUp()).pruned.count).toBe(3);
    },
  );

  test('a record whose archive a person removed is swept, and holds nothing up', async () => {
    const bad = await suspicious();
    fs.rmSync(bad.path);
    fill();
    expect((await backUp()).pruned.count).toBe(1);
    expect(box.names().filter((name) => name.endsWith('.suspicious'))).toEqual([]);
  });

  test('the record survives a restore of the folder that holds the archives', async () => {
    const bad = await suspicious();
    const target = path.join(box.root, 'target');
    fs.cpSync(box.destination, path.join(target, 'backups'), { recursive: true });
    const ended = await kmBackup(['restore', path.join(box.destination, archives()[0]!), target]);
    expectWords(ended);
    expect(ended.code).toBe(0);
    expect(suspicionOf(path.join(target, 'backups', bad.name))).toMatchObject({ archive: bad.name });
  });

  test('at no point of a run has an archive its name without being called suspicious', async () => {
    fill();
    const seen = new Map<string, string[]>();
    const { name } = await backUp({
      guard: async ({ summary: { archive, sha256 } }) => ({
        suspicion: {
          version: 1,
          archive,
          sha256,
          comparedWith: 'an archive',
          reasons: [{ rule: 'shrink', message: 'It shrank.' }],
        },
        notes: [],
      }),
      failpoint: (point) => void seen.set(point, box.names()),
    });
    expect(seen.get('manifest named')).not.toContain(name);
    expect(seen.get('archive named')).toContain(name);
    for (const [point, names] of seen) {
      if (names.includes(`${name}.manifest`))
        expect([point, names]).toEqual([point, expect.arrayContaining([`${name}.suspicious`])]);
    }
  });

  test('a run that fails after it wrote the record leaves none', async () => {
    await suspicious();
    const before = box.names();
    for (let file = 15; file < 19; file++) fs.rmSync(path.join(box.source, `docs/${file}`));
    const failing = backUp({
      failpoint: (point) => {
        if (point === 'manifest named') throw new Error('out of order');
      },
    });
    await expect(failing).rejects.toThrow();
    expect(box.names()).toEqual(before);
  });

  test('no copy is removed, by whoever prunes, until it is approved here or there', async () => {
    const first = (await backUp({ guard: undefined, allowEmpty: true })).path;
    fill();
    await backUp({ guard: undefined, retention: undefined });
    for (let file = 0; file < 15; file++) fs.rmSync(path.join(box.source, `docs/${file}`));
    const bad = await backUp();
    const location = new DirectoryLocation(path.join(box.root, 'location'));
    for (const name of archives()) await copyTo(location, path.join(box.destination, name));
    const writer = existingWriterOf(box.destination)!.id;
    const prune = (localOf?: (archive: string) => string, takeOver = false) =>
      pruneCopies({
        location,
        series: '',
        policy: { limit: 1 },
        writer,
        takeOver,
        localOf,
        graceMs: 0,
        now: new Date(Date.now() + 3_600_000),
        dryRun: false,
      });
    const local = (archive: string) => path.join(box.destination, archive);
    expect((await prune(local)).pruned).toEqual([]);
    expect((await prune(undefined, true)).pruned).toEqual([]);
    const url = `dir:${path.join(box.root, 'location')}`;
    const wrong = await kmBackup(['approve', url]);
    expect(wrong.code).toBe(2);
    const there = await kmBackup(['approve', url, bad.name]);
    expect(there.stdout).toContain(`Approved ${bad.name}`);
    expect((await prune(undefined, true)).pruned).toContain(path.basename(first));
  });

  test('an approval of the archive counts for its copy', async () => {
    const bad = await suspicious();
    const location = new DirectoryLocation(path.join(box.root, 'location'));
    for (const name of archives()) await copyTo(location, path.join(box.destination, name));
    const url = `dir:${path.join(box.root, 'location')}`;
    const prune = ['prune', url, '--retention-limit', '1', '--destination', box.destination];
    expect((await kmBackup(prune)).stdout).toContain('nothing is removed');
    await kmBackup(['approve', bad.path]);
    const pruned = await kmBackup(prune);
    expectWords(pruned);
    expect(pruned.stdout).toContain('remove');
  });
});

test('flags and variables: limits, and what is wrong with them', async () => {
  fill();
  const run = (args: string[], env: Record<string, string> = {}) =>
    kmBackup(['create', '--source', box.source, '--destination', box.destination, ...args], { env });
  expect((await run(['--guard-max-change-percent', '0'])).code).toBe(2);
  expect((await run(['--guard-max-shrink-percent', '101'])).code).toBe(2);
  expect((await run([], { KM_BACKUP_GUARD_MAX_SHRINK_PERCENT: 'ten' })).code).toBe(2);
  expect((await run([])).code).toBe(0);
  for (let file = 0; file < 15; file++) fs.rmSync(path.join(box.source, `docs/${file}`));
  const bad = await run([], { KM_BACKUP_GUARD_MAX_SHRINK_PERCENT: '30' });
  expectWords(bad);
  expect([bad.code, bad.stderr]).toEqual([
    0,
    expect.stringContaining('is suspicious. The source has 75% fewer'),
  ]);
  const record = JSON.parse(
    fs.readFileSync(
      path.join(box.destination, box.names().find((name) => name.endsWith('.suspicious'))!),
      'utf8',
    ),
  ) as Suspicion;
  expect(record.reasons.map(({ rule }) => rule)).toEqual(['shrink']);
});

test('docs/guard.md: its commands', async () => {
  fill();
  const page = fs.readFileSync(path.join(checkout, 'docs/guard.md'), 'utf8');
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block!);
  const [backup, look, approve] = blocks.filter((block) => !block.includes('kubectl'));
  const shell = (commands: string) =>
    execFileSync('sh', ['-ec', `{ ${commands} } 2>&1`], {
      cwd: box.root,
      env: {
        PATH: `${path.dirname(program)}:${process.env['PATH']}`,
        KM_BACKUP_SOURCE: box.source,
        KM_BACKUP_DEST: box.destination,
        ARCHIVE: archives().at(-1) ?? '',
      },
      encoding: 'utf8',
    });
  shell(backup!);
  for (let file = 0; file < 15; file++) fs.rmSync(path.join(box.source, `docs/${file}`));
  expect(shell(backup!)).toContain('is suspicious');
  const looked = shell(look!);
  expect(looked).toContain('complete, suspicious');
  expect(looked).toMatch(/removed +15/);
  expect(shell(approve!)).toContain('Approved');
});
