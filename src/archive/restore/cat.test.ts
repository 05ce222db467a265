import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runBackup } from '../create/run-backup.ts';
import { catEntry } from './cat.ts';

let base: string;
let archive: string;
const at = (...names: string[]) => path.join(base, ...names);
const HOLE = 5 << 20;

beforeAll(async () => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-cat-'));
  fs.mkdirSync(at('source/folder'), { recursive: true });
  fs.mkdirSync(at('source/empty folder'));
  fs.writeFileSync(at('source/folder/text'), 'content');
  fs.writeFileSync(at('source/nothing'), '');
  fs.writeFileSync(at('source/one'), 'linked');
  fs.linkSync(at('source/one'), at('source/two'));
  fs.symlinkSync('one', at('source/link'));
  fs.writeFileSync(at('source/large'), Buffer.alloc(9 << 20, 'large'));
  fs.writeFileSync(at('source/sparse'), 'begin');
  fs.truncateSync(at('source/sparse'), HOLE);
  fs.appendFileSync(at('source/sparse'), 'middle');
  fs.truncateSync(at('source/sparse'), 2 * HOLE);
  const run = await runBackup({
    source: at('source'),
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
  archive = run.result.archive!.path;
});
afterAll(() => fs.rmSync(base, { recursive: true }));

async function contentOf(name: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await catEntry(archive, name, { write: (chunk) => chunks.push(Buffer.from(chunk)) });
  return Buffer.concat(chunks);
}

test.each(['folder/text', './folder/text', 'nothing', 'one', 'two', 'large', 'sparse'])(
  '%s comes as it was',
  async (name) => {
    expect((await contentOf(name)).equals(fs.readFileSync(at('source', name)))).toBe(true);
  },
);

test.each([
  ['folder', 'directory'],
  ['empty folder', 'directory'],
  ['.', 'directory'],
  ['link', 'symlink'],
])('%s is refused: it is a %s', async (name, kind) => {
  await expect(contentOf(name)).rejects.toThrow(`is a ${kind}, not a file`);
});

test('what the archive does not hold is named', async () => {
  await expect(contentOf('three')).rejects.toMatchObject({ reason: 'EntryMissing' });
});

test('ends when it is given up', async () => {
  const stop = new AbortController();
  stop.abort(new Error('enough'));
  await expect(catEntry(archive, 'large', { write: () => {}, signal: stop.signal })).rejects.toThrow(
    'enough',
  );
});
