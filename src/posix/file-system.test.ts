import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { copyRange } from './copy-range.ts';
import { dataExtents } from './extents.ts';
import { makeFifo } from './fifo.ts';
import { renameExchange, renameNoReplace } from './rename.ts';
import { syncDirectory, syncFileSystem } from './sync.ts';
import { SystemError } from './system-error.ts';
import { setTimes, setTimesOf } from './times.ts';
import { getXattr, getXattrs, listXattrs, setXattr } from './xattr.ts';

let directory: string;
const at = (name: string) => path.join(directory, name);
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'km-posix-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

describe('rename', () => {
  test('exchange swaps a file and a directory', () => {
    fs.writeFileSync(at('a'), 'file');
    fs.mkdirSync(at('b/c'), { recursive: true });
    expect(renameExchange(at('a'), at('b'))).toBe('done');
    expect(fs.readFileSync(at('b'), 'utf8')).toBe('file');
    expect(fs.readdirSync(at('a'))).toEqual(['c']);
  });

  test('exchange with a missing name changes nothing', () => {
    fs.writeFileSync(at('a'), '');
    expect(() => renameExchange(at('a'), at('b'))).toThrow(
      expect.objectContaining({ code: 'ENOENT', syscall: 'renameat2', path: at('a') }),
    );
    expect(fs.readdirSync(directory)).toEqual(['a']);
  });

  test('no-replace moves, or fails with EEXIST', () => {
    fs.writeFileSync(at('a'), 'a');
    fs.writeFileSync(at('b'), 'b');
    expect(() => renameNoReplace(at('a'), at('b'))).toThrow(expect.objectContaining({ code: 'EEXIST' }));
    expect(renameNoReplace(at('a'), at('c'))).toBe('done');
    expect(fs.readdirSync(directory).sort()).toEqual(['b', 'c']);
  });

  test('what the file system cannot do is an answer, not an error', () => {
    fs.mkdirSync(at('a'));
    expect(renameNoReplace(at('a'), at('a/inside'))).toBe('unsupported');
    expect(fs.readdirSync(directory)).toEqual(['a']);
  });

  test('names that are not UTF-8', () => {
    const from = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff, 0x0a, 0x80])]);
    const to = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xfe])]);
    fs.writeFileSync(from, 'x');
    expect(renameNoReplace(from, to)).toBe('done');
    expect(fs.readdirSync(directory, { encoding: 'buffer' })).toEqual([Buffer.from([0xfe])]);
  });

  test('a NUL in a path is refused before the kernel would cut it there', () => {
    fs.writeFileSync(at('a'), '');
    expect(() => renameNoReplace(`${at('a')}\0b`, at('c'))).toThrow(SystemError);
    expect(fs.readdirSync(directory)).toEqual(['a']);
  });
});

describe('times', () => {
  test('nanoseconds survive, before 1970 too', () => {
    fs.writeFileSync(at('f'), '');
    fc.assert(
      fc.property(
        fc.bigInt(-2_000_000_000n, 8_000_000_000n),
        fc.bigInt(0n, 999_999_999n),
        (seconds, rest) => {
          const time = seconds * 1_000_000_000n + rest;
          setTimes(at('f'), time + 1n, time);
          const stat = fs.lstatSync(at('f'), { bigint: true });
          expect(stat.mtimeNs).toBe(time);
          expect(stat.atimeNs).toBe(time + 1n);
        },
      ),
    );
  });

  test('of a dangling symlink itself, and of an open file', () => {
    fs.symlinkSync('nowhere', at('link'));
    setTimes(at('link'), 5n, 1_700_000_000_123_456_789n);
    expect(fs.lstatSync(at('link'), { bigint: true }).mtimeNs).toBe(1_700_000_000_123_456_789n);
    const fd = fs.openSync(at('f'), 'w');
    setTimesOf(fd, 0n, 42n);
    expect(fs.fstatSync(fd, { bigint: true }).mtimeNs).toBe(42n);
    fs.closeSync(fd);
  });
});

describe('extended attributes', () => {
  test('round trip, empty and large values', () => {
    fs.writeFileSync(at('f'), '');
    const large = Buffer.alloc(2000, 7);
    expect(setXattr(at('f'), 'user.large', large)).toBe('done');
    expect(setXattr(at('f'), 'user.empty', Buffer.alloc(0))).toBe('done');
    expect(listXattrs(at('f')).sort()).toEqual(['user.empty', 'user.large']);
    expect(getXattrs(at('f'))).toEqual(
      new Map([
        ['user.empty', Buffer.alloc(0)],
        ['user.large', large],
      ]),
    );
    expect(getXattr(at('f'), 'user.none')).toBeUndefined();
  });

  test('symlinks are not followed', () => {
    fs.writeFileSync(at('f'), '');
    fs.symlinkSync('f', at('link'));
    expect(setXattr(at('link'), 'user.x', Buffer.from('1'))).toEqual({ refused: 'EPERM' });
    expect(listXattrs(at('f'))).toEqual([]);
  });

  test('a file system without them has none, and says so', () => {
    expect(listXattrs('/proc/self/status')).toEqual([]);
    expect(setXattr('/proc/self/status', 'user.x', Buffer.from('1'))).toEqual({
      refused: expect.stringMatching(/^(ENOTSUP|EOPNOTSUPP|EPERM|EACCES)$/),
    });
  });

  test('a missing file is an error', () => {
    expect(() => listXattrs(at('none'))).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});

describe('extents', () => {
  test.each([
    ['empty', 0, []],
    ['all hole', 1 << 20, []],
    ['hole, data, hole', 1 << 20, [{ offset: 1 << 19, length: 4096 }]],
    ['data at the end', (1 << 20) + 4096, [{ offset: 1 << 20, length: 4096 }]],
    [
      'beyond 8 GiB',
      9 * 2 ** 30,
      [
        { offset: 0, length: 4096 },
        { offset: 8 * 2 ** 30, length: 8192 },
      ],
    ],
  ])('%s', (_, size, data) => {
    const fd = fs.openSync(at('f'), 'w+');
    fs.ftruncateSync(fd, size);
    for (const { offset, length } of data) fs.writeSync(fd, Buffer.alloc(length, 1), 0, length, offset);
    expect(dataExtents(fd, size)).toEqual(data);
    fs.closeSync(fd);
  });

  test('a file system that knows no holes: one extent', () => {
    const fd = fs.openSync('/proc/self/status', 'r');
    expect(dataExtents(fd, 10)).toEqual([{ offset: 0, length: 10 }]);
    fs.closeSync(fd);
  });
});

describe('copyRange', () => {
  test('copies between offsets and reports a short source', () => {
    fs.writeFileSync(at('from'), '0123456789');
    const from = fs.openSync(at('from'), 'r');
    const to = fs.openSync(at('to'), 'w+');
    expect(copyRange(from, 2, to, 3, 4)).toBe(4);
    expect(copyRange(from, 8, to, 7, 100)).toBe(2);
    expect(fs.readFileSync(at('to'), 'latin1')).toBe(`${'\0'.repeat(3)}234589`);
    fs.closeSync(from);
    fs.closeSync(to);
  });

  test('between file systems that cannot, by reading', () => {
    const from = fs.openSync('/proc/self/cmdline', 'r');
    const to = fs.openSync(at('to'), 'w');
    const copied = copyRange(from, 0, to, 0, 1 << 20);
    expect(copied).toBe(fs.readFileSync('/proc/self/cmdline').length);
    expect(fs.readFileSync(at('to'))).toEqual(fs.readFileSync('/proc/self/cmdline'));
    fs.closeSync(from);
    fs.closeSync(to);
  });
});

test('FIFOs are made, never over something else', () => {
  makeFifo(at('fifo'), 0o600);
  expect(fs.lstatSync(at('fifo')).isFIFO()).toBe(true);
  fs.symlinkSync('fifo', at('link'));
  expect(() => makeFifo(at('link'), 0o600)).toThrow(expect.objectContaining({ code: 'EEXIST' }));
});

test('syncing names what is missing', async () => {
  syncDirectory(directory);
  await syncFileSystem(Buffer.from(directory));
  await expect(syncFileSystem(at('none'))).rejects.toThrow(/ENOENT/);
  expect(() => syncDirectory(at('none'))).toThrow(/ENOENT/);
});

test('holes written by other tools are seen', () => {
  execFileSync('truncate', ['-s', '1M', at('f')]);
  const fd = fs.openSync(at('f'), 'r');
  expect(dataExtents(fd, 1 << 20)).toEqual([]);
  fs.closeSync(fd);
});
