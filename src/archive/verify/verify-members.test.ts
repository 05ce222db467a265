import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Selection } from '../create/selection.ts';
import { describeContent, withSource } from '../create/source-file.ts';
import { SourceRoot } from '../create/source-root.ts';
import { Walk } from '../create/walk.ts';
import { fromText } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import type { Member } from '../format/manifest.ts';
import { contentsOf } from '../format/member-contents.ts';
import { encodeHeader } from '../format/tar-header.ts';

/** GNU tar's headers say the same as ours in other bytes, as those of another version of ours may. */
let base: string;
let raw: Buffer;
let entries: Entry[];
const member: Member = { kind: 'group', offset: 0, size: 1, rawSize: 1, sha256: '' };

beforeAll(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-headers-'));
  const tree = path.join(base, 'tree');
  fs.mkdirSync(path.join(tree, 'a'), { recursive: true });
  fs.writeFileSync(path.join(tree, 'a/file'), 'content');
  fs.writeFileSync(path.join(tree, 'b'.repeat(180)), 'long name');
  fs.symlinkSync('a/file', path.join(tree, 'c'));
  fs.linkSync(path.join(tree, 'a/file'), path.join(tree, 'd'));
  const sparse = fs.openSync(path.join(tree, 'e'), 'w');
  fs.writeSync(sparse, Buffer.alloc(4096, 'data'), 0, 4096, 1 << 20);
  fs.ftruncateSync(sparse, 1 << 21);
  fs.closeSync(sparse);
  using source = new SourceRoot(tree, undefined);
  const walk = new Walk({
    root: source.fd,
    selection: new Selection({}),
    warn: ({ path: at, message }) => expect.unreachable(`${at}: ${message}`),
  });
  entries = [...walk].map(({ entry }) =>
    entry.type === 'file'
      ? withSource(source.fd, entry.path, (fd) => describeContent(entry, fd, fs.fstatSync(fd).blocks))
      : entry,
  );
  const names = entries.map(({ path: at }) => `./${at}`).join('\n');
  const gnu = ['--format=posix', '--numeric-owner', '--sparse', '--no-recursion', '-T', '-'];
  const tar = execFileSync('tar', ['-C', tree, '-c', ...gnu], { input: names, maxBuffer: 1 << 24 });
  // Without its end mark.
  let end = tar.length;
  while (tar.subarray(end - 512, end).every((byte) => byte === 0)) end -= 512;
  raw = tar.subarray(0, end);
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

test('headers written otherwise are read', () => {
  expect(raw.includes(encodeHeader(entries[1]!))).toBe(false);
  const contents = contentsOf(raw, member, entries);
  const texts = contents.map((content) => content?.toString('latin1').replace(/^[\d\n]+\0+/, ''));
  expect(texts.map((text) => text?.slice(0, 9))).toEqual([
    undefined,
    undefined,
    'content',
    'long name',
    undefined,
    undefined,
    expect.stringMatching(/^data/),
  ]);
});

test.each<Partial<Entry>>([{ mode: 0 }, { uid: 7 }, { mtime: '1' }, { size: 6 }, { path: fromText('x') }])(
  'and refused where they say something else than %o',
  (change) => {
    const changed = entries.map((entry) => (entry.path === 'a/file' ? { ...entry, ...change } : entry));
    expect(() => contentsOf(raw, member, changed)).toThrow(/differs from the manifest/);
  },
);
