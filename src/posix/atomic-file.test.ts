import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { writeFileAtomic, writeJsonAtomic } from './atomic-file.ts';
import { syncDirectory } from './sync.ts';

let directory: string;
let file: string;

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'km-atomic-'));
  file = path.join(directory, 'state.json');
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

test('replaces the content whole and leaves nothing else behind', () => {
  writeJsonAtomic(file, { version: 1 }, { mode: 0o600 });
  writeJsonAtomic(file, { version: 2 }, { mode: 0o600, indent: 2 });
  expect(fs.readFileSync(file, 'utf8')).toBe('{\n  "version": 2\n}\n');
  expect(fs.statSync(file).mode & 0o777).toBe(0o600);
  expect(fs.readdirSync(directory)).toEqual(['state.json']);
});

test('a failed write keeps the old content and removes the temporary file', () => {
  fs.mkdirSync(path.join(file, 'not-replaceable'), { recursive: true });
  expect(() => writeFileAtomic(file, 'new', { mode: 0o600 })).toThrow(
    expect.objectContaining({ code: expect.stringMatching(/^(EISDIR|ENOTEMPTY|EEXIST)$/) }),
  );
  expect(fs.readdirSync(directory)).toEqual(['state.json']);
});

test('a file system that cannot sync directories (here procfs: EINVAL) is no failure', () => {
  expect(() => syncDirectory('/proc')).not.toThrow();
});
