import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ByteString } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { encodeEntry, parseEntryLine } from '../format/entry-line.ts';
import { parsePlainLine } from './plain-line.ts';

const parsed = (line: string): Entry | 'malformed' => {
  try {
    return parseEntryLine(line, 'm');
  } catch {
    return 'malformed';
  }
};

const digits = fc.bigInt({ min: -(10n ** 29n), max: 10n ** 29n }).map(String);
const entries = fc.record(
  {
    path: fc.string({ unit: fc.constantFrom('a', '/', ' ', '~', '"', '\\', '\n', '\xe9', '{') }),
    type: fc.constantFrom('file', 'directory', 'symlink', 'fifo'),
    mode: fc.constantFrom(0, 0o644, 0o7777, 0o10000, -1),
    uid: fc.constantFrom(0, 1000, 2 ** 32, 1.5),
    gid: fc.maxSafeNat(),
    size: fc.constantFrom(0, 7, 64 * 1024 * 1024, 64 * 1024 * 1024 + 1),
    mtime: digits,
    ctime: digits,
    ino: fc.constantFrom('0', '12', '', '-3', '123456789012345678901'),
    sha256: fc.constantFrom('0'.repeat(64), '0'.repeat(63), 'A'.repeat(64)),
    parts: fc.constantFrom(2),
    link: fc.constantFrom('x' as ByteString),
  },
  { requiredKeys: ['path', 'type', 'mode', 'uid', 'gid', 'size', 'mtime', 'ctime', 'ino'] },
);

test('a line that is parsed fast is parsed as any other, and a malformed one is left to the other parser', () => {
  fc.assert(
    fc.property(entries, fc.option(fc.nat({ max: 250 }), { freq: 2 }), (entry, cutAt) => {
      const whole = encodeEntry(entry as Entry).trimEnd();
      const line = cutAt === null ? whole : `${whole.slice(0, cutAt)}${whole.slice(cutAt + 1)}`;
      const fast = parsePlainLine(line);
      if (fast) expect(parsed(line)).toEqual(fast);
    }),
    { numRuns: 2000 },
  );
});

test('the lines of usual files and directories are parsed fast', () => {
  const file = {
    path: 'a b/c',
    mode: 0o644,
    uid: 0,
    gid: 65534,
    size: 3,
    mtime: '-1',
    ctime: '0',
    ino: '42',
  };
  for (const entry of [
    { ...file, type: 'file', sha256: 'f'.repeat(64) },
    { ...file, type: 'directory' },
  ])
    expect(parsePlainLine(encodeEntry(entry as Entry).trimEnd())).toEqual(entry);
});

test.each([
  ['a number with a leading zero', (line: string) => line.replace('"uid":1', '"uid":01')],
  ['text after it', (line: string) => `${line} `],
  ['a field twice', (line: string) => line.replace('"gid":1', '"gid":1,"gid":2')],
])('%s is not a plain line', (_, change) => {
  const entry = {
    path: 'a',
    type: 'file',
    mode: 1,
    uid: 1,
    gid: 1,
    size: 0,
    mtime: '0',
    ctime: '0',
    ino: '0',
  };
  const line = encodeEntry(entry as unknown as Entry).trimEnd();
  expect(parsePlainLine(line)).toBeDefined();
  expect(parsePlainLine(change(line))).toBeUndefined();
});
