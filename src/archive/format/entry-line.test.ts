import { expect, test } from 'vitest';
import { type ByteString, fromBuffer } from './byte-string.ts';
import type { Entry } from './entry.ts';
import { encodeEntry, joinLines, parseCheckedLines, parseEntryLine } from './entry-line.ts';

const entry: Entry = {
  path: 'a' as ByteString,
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: '0',
  ctime: '0',
  ino: '0',
};

test.each([
  '0',
  '-1',
  '100000000000000000000',
  '-100000000000000000001',
  '9223372036854775807999999999',
  '-9223372036854775808000000000',
])('an mtime of %s ns is read back', (mtime) => {
  const line = encodeEntry({ ...entry, mtime, ctime: mtime }).trimEnd();
  expect(parseEntryLine(line, 'm')).toMatchObject({ mtime, ctime: mtime });
});

test.each(['', '1.5', '1e9', '99999999999999999999999999999'])('an mtime of %j is malformed', (mtime) => {
  const line = encodeEntry({ ...entry, mtime }).trimEnd();
  expect(() => parseEntryLine(line, 'm')).toThrow(/malformed/);
});

test('a malformed line is quoted without what would drive a terminal', () => {
  const path = fromBuffer(Buffer.from('\u001b[2J\u202e'));
  const line = encodeEntry({ ...entry, path, mode: -1 }).trimEnd();
  expect(() => parseEntryLine(line, 'm')).toThrow(/^[^\p{Cc}\p{Cf}]+$/u);
});

test('lines that were checked give the same entries as one by one', () => {
  const names = ['a', 'ü', '"],[\\', '\n', '\r\u2028', '__proto__'].map((name) =>
    fromBuffer(Buffer.from(name)),
  );
  const link = fromBuffer(Buffer.from([0xff, 0x0a]));
  const lines = [
    ...names.map((path) =>
      encodeEntry({ ...entry, path, sha256: 'a'.repeat(64), xattrs: { 'user.x': 'eA==' } }),
    ),
    encodeEntry({ ...entry, path: link, type: 'symlink', link }),
    encodeEntry({ ...entry, inconsistent: true }).replace('inconsistent', 'torn'),
  ].map((line) => line.trimEnd());
  const expected = lines.map((line) => parseEntryLine(line, 'm'));
  expect(parseCheckedLines(joinLines(lines))).toEqual(expected);
  expect(parseCheckedLines('')).toEqual([]);
});
