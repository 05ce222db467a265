import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { runBackup } from '../create/run-backup.ts';
import { extractEntries } from './extract.ts';

let base: string;
let archive: string;
const at = (...names: string[]) => path.join(base, ...names);
const out = (...names: string[]) => at('out', ...names);
const root = process.getuid?.() === 0;
const modeOf = (file: string) => fs.lstatSync(file).mode & 0o7777;

beforeAll(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-extract-'));
  const source = at('source');
  fs.mkdirSync(path.join(source, 'open/inner'), { recursive: true });
  fs.writeFileSync(path.join(source, 'open/inner/file'), 'content');
  fs.writeFileSync(path.join(source, 'first'), 'linked content');
  fs.linkSync(path.join(source, 'first'), path.join(source, 'second'));
  fs.linkSync(path.join(source, 'first'), path.join(source, 'third'));
  fs.mkdirSync(path.join(source, 'large'));
  fs.writeFileSync(path.join(source, 'large/a'), Buffer.alloc(9 * 1024 * 1024, 'large'));
  fs.linkSync(path.join(source, 'large/a'), path.join(source, 'large/b'));
  fs.symlinkSync('target', path.join(source, 'large/link'));
  fs.linkSync(path.join(source, 'large/link'), path.join(source, 'large/other-link'));
  fs.mkdirSync(path.join(source, 'set'));
  fs.writeFileSync(path.join(source, 'set/id'), 'x');
  fs.chmodSync(path.join(source, 'set/id'), 0o4755);
  if (root) {
    fs.chownSync(path.join(source, 'open/inner'), 1234, 2345);
    fs.mkdirSync(path.join(source, 'devices'));
    execFileSync('mknod', [path.join(source, 'devices/null'), 'c', '1', '3']);
    fs.writeFileSync(path.join(source, 'devices/file'), 'x');
  }
  fs.chmodSync(path.join(source, 'open'), 0o751);
  fs.chmodSync(path.join(source, 'open/inner'), 0o550);
  fs.utimesSync(path.join(source, 'open/inner'), 1_500_000_000, 1_500_000_000);
  const { result } = await runBackup({
    source,
    destination: at('archives'),
    compression: 'gzip',
    level: 1,
    exclude: [],
    include: [],
    full: false,
    allowEmpty: false,
    lockWaitMs: 0,
    retention: undefined,
    now: () => new Date(),
  });
  archive = result.archive!.path;
});
beforeEach(() => {
  fs.rmSync(out(), { recursive: true, force: true });
  fs.mkdirSync(out());
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

async function extract(...paths: string[]) {
  const warnings: string[] = [];
  const warn = (at: string, message: string) => warnings.push(`${at}: ${message}`);
  return {
    ...(await extractEntries(archive, { paths, directory: out(), owner: root, warn })),
    warnings,
  };
}

test('missing parents get the mode, owner and time that the archive has', async () => {
  const { entries } = await extract('open/inner/file');
  expect(entries).toBe(1);
  expect(modeOf(out('open'))).toBe(0o751);
  expect(modeOf(out('open/inner'))).toBe(0o550);
  const { mtime, uid, gid } = fs.statSync(out('open/inner'));
  expect(mtime.getTime()).toBe(1_500_000_000_000);
  if (root) expect([uid, gid]).toEqual([1234, 2345]);
});

test('directories that exist keep mode, owner and whatever else they hold', async () => {
  fs.mkdirSync(out('open/inner'), { recursive: true });
  fs.chmodSync(out('open'), 0o700);
  fs.chmodSync(out('open/inner'), 0o777);
  fs.writeFileSync(out('open/inner/mine'), 'mine');
  await extract('open');
  expect(modeOf(out('open'))).toBe(0o700);
  expect(modeOf(out('open/inner'))).toBe(0o777);
  expect(fs.statSync(out('open/inner')).uid).toBe(process.getuid?.());
  expect(fs.readdirSync(out('open/inner')).sort()).toEqual(['file', 'mine']);
});

test('the directory to write below keeps its mode when the whole archive is extracted', async () => {
  fs.chmodSync(out(), 0o711);
  await extract('.');
  expect(modeOf(out())).toBe(0o711);
  expect(fs.readFileSync(out('third'), 'utf8')).toBe('linked content');
});

test.each([
  ['second', ['second']],
  ['first', ['first']],
])('one name of a hard link, %s, brings that name alone', async (name, expected) => {
  const { entries } = await extract(name);
  expect(entries).toBe(1);
  expect(fs.readdirSync(out())).toEqual(expected);
  expect(fs.readFileSync(out(name), 'utf8')).toBe('linked content');
});

test('later names without the first are linked with each other', async () => {
  const { entries } = await extract('third', 'second');
  expect(entries).toBe(2);
  expect(fs.readdirSync(out()).sort()).toEqual(['second', 'third']);
  expect(fs.statSync(out('second')).ino).toBe(fs.statSync(out('third')).ino);
  expect(fs.readFileSync(out('second'), 'utf8')).toBe('linked content');
});

test('the second name of a file of several parts, and of a symlink', async () => {
  await extract('large/b', 'large/other-link');
  expect(fs.readdirSync(out('large')).sort()).toEqual(['b', 'other-link']);
  expect(fs.readFileSync(out('large/b')).equals(Buffer.alloc(9 * 1024 * 1024, 'large'))).toBe(true);
  expect(fs.readlinkSync(out('large/other-link'))).toBe('target');
});

test.runIf(root)('a device is left out with a warning and not counted', async () => {
  const { entries, skipped, warnings } = await extract('devices');
  expect([entries, skipped]).toEqual([2, 1]);
  expect(fs.readdirSync(out('devices'))).toEqual(['file']);
  expect(warnings).toEqual(['devices/null: left out: it is a device']);
});

test('setuid bits are removed with a warning', async () => {
  const { warnings } = await extract('set/id');
  expect(modeOf(out('set/id'))).toBe(0o755);
  expect(warnings).toEqual(['set/id: setuid, setgid or capabilities removed']);
});

test('a file that exists is not replaced, and the directories made for it get their modes', async () => {
  fs.mkdirSync(out('open'));
  fs.writeFileSync(out('open/inner'), 'mine');
  await expect(extract('open/inner/file')).rejects.toThrow(/is there already|not a directory/);
  expect(fs.readFileSync(out('open/inner'), 'utf8')).toBe('mine');
  fs.writeFileSync(out('first'), 'mine');
  await expect(extract('first')).rejects.toThrow(/'first' already exists/);
  expect(fs.readFileSync(out('first'), 'utf8')).toBe('mine');
});

test('what the archive does not hold is named, and nothing is written', async () => {
  await expect(extract('first', 'no\nsuch')).rejects.toThrow(/does not hold '\.\/no\\nsuch'/);
  expect(fs.readdirSync(out())).toEqual([]);
});
