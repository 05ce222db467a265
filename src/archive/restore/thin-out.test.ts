import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ByteString, fromText, ROOT } from '../format/byte-string.ts';
import { WorkerPool } from '../pool/worker-pool.ts';
import { emptyDirectories } from './empty-directories.ts';
import type { RestoreJobs } from './jobs.ts';
import { findArchives } from './preserved-archives.ts';
import { thinOut } from './thin-out.ts';

let scratch: string;
const at = (...names: string[]) => path.join(scratch, ...names);

beforeEach(() => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'km-thin-out-'));
});

afterEach(() => fs.rmSync(scratch, { recursive: true, force: true }));

async function thin(root: string, more: readonly string[] = []) {
  const directories: ByteString[] = [];
  await findArchives(fromText(root), { visit: (directory) => directories.push(directory) });
  await using pool = new WorkerPool<RestoreJobs>(1);
  await thinOut(fromText(root), [...directories, ...more.map(fromText)], pool, undefined);
}

test('a tree of many directories is deleted except its root', async () => {
  for (let index = 0; index < 60; index++) {
    fs.mkdirSync(at('tree', `${index % 7}`, `${index}`, 'ünder\n'), { recursive: true });
    fs.writeFileSync(at('tree', `${index % 7}`, `${index}`, 'ünder\n', 'file'), 'x');
  }
  fs.writeFileSync(at('tree', 'at the top'), 'x');
  await thin(at('tree'));
  expect(fs.readdirSync(at('tree')).filter((name) => !/^[0-6]$/.test(name))).toEqual([]);
  expect(fs.readdirSync(at('tree'), { recursive: true }).length).toBeLessThan(60 * 2);
});

test('a symlink is deleted and not followed, also where a directory was', async () => {
  fs.mkdirSync(at('tree'));
  fs.mkdirSync(at('outside'));
  fs.writeFileSync(at('outside', 'kept'), 'x');
  fs.symlinkSync(at('outside'), at('tree', 'link'));
  await thin(at('tree'), ['link', 'never there']);
  expect(fs.readdirSync(at('tree'))).toEqual([]);
  expect(fs.readdirSync(at('outside'))).toEqual(['kept']);
});

test('of a directory with very many files a part is deleted, so that nobody waits', () => {
  fs.mkdirSync(at('tree'));
  for (const name of ['1', '2', '3', '4', '5']) fs.writeFileSync(at('tree', name), '');
  emptyDirectories({ root: fromText(at('tree')), directories: [ROOT] }, 3);
  expect(fs.readdirSync(at('tree'))).toHaveLength(2);
});
