/** Single files of a copy: what is fetched for them, and that it is what the archive holds. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { extractEntries } from '../../src/archive/index.ts';
import {
  type ArchiveList,
  fetchPaths,
  type Location,
  locationAt,
  readList,
} from '../../src/offsite/index.ts';
import { Sandbox } from '../support/backup.ts';
import { copyTo } from '../support/copies.ts';
import { kmBackup } from '../support/km-backup.ts';
import { describeTree } from '../support/tree.ts';

const FOLDERS = 24;
const FILES = 120;

let box: Sandbox;
let archive: string;
let location: Location;
let list: ArchiveList;
let count = 0;

const at = (...names: string[]) => path.join(box.root, ...names);

beforeAll(async () => {
  box = new Sandbox();
  for (let folder = 0; folder < FOLDERS; folder++)
    for (let file = 0; file < FILES; file++) box.write(`f${folder}/${file}`, randomBytes(300));
  // Parts of large files that end where a piece of the manifest does, and between small files.
  for (const name of ['f3/50-large', 'f11/large', 'zlast']) box.write(name, randomBytes(9_000_000));
  fs.linkSync(path.join(box.source, 'f1/7'), path.join(box.source, 'f20/linked'));
  fs.linkSync(path.join(box.source, 'f3/50-large'), path.join(box.source, 'f21/linked-large'));
  fs.symlinkSync('../f5/3', path.join(box.source, 'f22/symlink'));
  box.write('f9 with "quotes"/ü\n', 'odd');
  fs.mkdirSync(path.join(box.source, 'f5/empty'));
  box.write('f1/7', 'linked, as text');
  fs.chmodSync(path.join(box.source, 'f5'), 0o711);
  box.clockAheadMs = 5_000;
  archive = (await box.back()).result.archive!.path;
  location = await locationAt(`dir:${at('location')}`, {});
  await copyTo(location, archive, { packBytes: 1_000_000 });
  list = (await readList(location, '', path.basename(archive)))!;
});
afterAll(() => box[Symbol.dispose]());

/** What `extract` writes for these paths, or says. */
async function extracted(file: string, paths: readonly string[]): Promise<unknown> {
  const directory = at(`out-${count++}`);
  fs.mkdirSync(directory);
  const owner = process.geteuid?.() === 0;
  try {
    const { entries } = await extractEntries(file, { paths, directory, owner, warn: () => {} });
    // Of when it was made here.
    fs.utimesSync(directory, 0, 0);
    return { entries, tree: describeTree(directory) };
  } catch (error) {
    return (error as { reason?: string }).reason;
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

async function fetched(paths: readonly string[], from = list): Promise<unknown> {
  const file = path.join(fs.mkdtempSync(at('view-')), path.basename(archive));
  try {
    const options = { location, series: '', archive: path.basename(archive), opener: undefined };
    await fetchPaths(options, from, from.manifestTable!, paths, file);
    return await extracted(file, paths);
  } catch (error) {
    return (error as { reason?: string }).reason;
  } finally {
    fs.rmSync(path.dirname(file), { recursive: true });
  }
}

const CHOSEN: string[][] = [
  ['f0/0'],
  ['zlast'],
  ['f3/50-large'],
  ['f3/50-large', 'f3/51'],
  ['f3/51'],
  ['f11/large'],
  ['f12/0'],
  ['f20/linked'],
  ['f21/linked-large'],
  ['f1/7', 'f20/linked'],
  ['f22/symlink'],
  ['f5'],
  ['f5/empty'],
  ['f9 with "quotes"'],
  ['f2', 'f23'],
  ['.'],
  ['f5/3', 'f5'],
  ['f5/absent'],
  ['absent'],
  ['zzz'],
  ['f0/0', 'absent'],
  ['../f0'],
];

test.each(CHOSEN)('what is fetched for %s … is what the archive holds', async (...paths) => {
  const wanted = await extracted(archive, paths);
  expect(await fetched(paths)).toEqual(wanted);
});

test('any choice of paths gives what the archive holds', async () => {
  const name = fc.oneof(
    fc.tuple(fc.nat(FOLDERS), fc.nat(FILES)).map(([folder, file]) => `f${folder}/${file}`),
    fc.nat(FOLDERS).map((folder) => `f${folder}`),
    fc.constantFrom(...CHOSEN.flat()),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(name, { minLength: 1, maxLength: 4 }), async (paths) => {
      expect(await fetched(paths)).toEqual(await extracted(archive, paths));
    }),
    { numRuns: 30 },
  );
});

test('of the manifest, only the pieces about the path are read', async () => {
  const ranges: [key: string, bytes: number][] = [];
  const watched: Location = {
    ...location,
    url: location.url,
    get: async (key, range) => {
      const bytes = await location.get(key, range);
      ranges.push([key, bytes?.length ?? 0]);
      return bytes;
    },
  };
  const options = { location: watched, series: '', archive: path.basename(archive), opener: undefined };
  // By chance, a single file can be in a long piece.
  for (let folder = 0; folder < FOLDERS; folder++) {
    await fetchPaths(options, list, list.manifestTable!, [`f${folder}/5`], at(`few-${folder}.tgz`));
  }
  const manifestPacks = new Set(list.manifestRuns.map(({ pack }) => pack));
  const ofManifest = ranges.filter(([key]) => manifestPacks.has(path.basename(key)));
  const read = ofManifest.reduce((sum, [, bytes]) => sum + bytes, 0);
  const whole = list.manifestRuns.reduce((sum, { length }) => sum + length, 0);
  expect(ofManifest.length).toBeGreaterThan(0);
  expect(read / FOLDERS).toBeLessThan(whole / 3);
});

test.each(['extract', 'cat'])('%s names the copy where a path is missing', async (command) => {
  const { stderr, code } = await kmBackup([command, `dir:${at('location')}`, 'absent'], { cwd: box.root });
  expect([code, stderr]).toEqual([
    7,
    expect.stringContaining(`dir:${at('location')}: ${path.basename(archive)} does not hold './absent'`),
  ]);
});

test('a table of another archive is refused', async () => {
  const { manifestTable } = list;
  const other = { ...list, sha256: '0'.repeat(64), manifestTable };
  expect(await fetched(['f0/0'], other)).toBe('ArchiveCorrupt');
  const damaged = { ...list, manifestTable: { ...manifestTable!, offset: manifestTable!.offset - 9 } };
  expect(await fetched(['f0/0'], damaged)).toBe('ArchiveCorrupt');
});

test('a copy of an earlier version has no table', async () => {
  const file = at('location/archives/_', `${path.basename(archive)}.list`);
  const text = fs.readFileSync(file, 'utf8');
  fs.writeFileSync(file, text.replace(/^# manifestTable .*\n/m, ''));
  try {
    const { stdout, code } = await kmBackup(['cat', `dir:${at('location')}`, 'f20/linked'], {
      cwd: box.root,
    });
    expect([code, stdout]).toEqual([0, fs.readFileSync(path.join(box.source, 'f1/7'), 'utf8')]);
    const missing = await kmBackup(['cat', `dir:${at('location')}`, 'absent'], { cwd: box.root });
    expect(missing.stderr).toContain(`${path.basename(archive)} does not hold './absent'`);
  } finally {
    fs.writeFileSync(file, text);
  }
});
