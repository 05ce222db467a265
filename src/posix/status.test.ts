import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeFifo } from './fifo.ts';
import { attributesOf, statusOf, statusOfOpen } from './status.ts';
import { setTimes } from './times.ts';

let base: string;
beforeAll(() => {
  base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-status-'));
});
afterAll(() => fs.rmSync(base, { recursive: true, force: true }));

function told(stats: fs.BigIntStats) {
  return {
    mode: Number(stats.mode),
    links: Number(stats.nlink),
    uid: Number(stats.uid),
    gid: Number(stats.gid),
    ino: String(stats.ino),
    size: Number(stats.size),
    blocks: Number(stats.blocks),
    mtime: String(stats.mtimeNs),
    ctime: String(stats.ctimeNs),
  };
}

test.each<[string, (at: string) => void]>([
  ['a file', (at) => fs.writeFileSync(at, 'x'.repeat(5000), { mode: 0o4755 })],
  ['a directory', (at) => fs.mkdirSync(at)],
  ['a symlink to nowhere', (at) => fs.symlinkSync('nowhere', at)],
  ['a FIFO', (at) => makeFifo(at, 0o600)],
  ['a file with holes', (at) => fs.writeFileSync(at, '') ?? fs.truncateSync(at, 2 ** 33)],
  ['naïve, a name outside ASCII,', (at) => fs.writeFileSync(at, '')],
])('says of %s what Node does', (name, make) => {
  const at = path.join(base, name);
  make(at);
  expect(statusOf(Buffer.from(at).toString('latin1'))).toMatchObject(
    told(fs.lstatSync(at, { bigint: true })),
  );
});

test.each([-1n, 0n, 1n, 999_999_999n, -1_000_000_001n, 1_700_000_000_000_000_007n])(
  'a time of %s ns',
  (time) => {
    const file = path.join(base, `time${time}`);
    fs.writeFileSync(file, '');
    setTimes(file, time, time);
    expect(statusOf(file)?.mtime).toBe(String(time));
  },
);

test.each([2n ** 62n, -(2n ** 62n), 2n ** 53n + 1n, 160_000_000_000n])(
  'a time of %s s, where it fits',
  (seconds) => {
    const directory = fs.mkdtempSync('/dev/shm/km-status-');
    try {
      const file = path.join(directory, 'file');
      fs.writeFileSync(file, '');
      const time = seconds * 1_000_000_000n + 7n;
      setTimes(file, 0n, time);
      expect(statusOf(file)?.mtime).toBe(String(time));
    } finally {
      fs.rmSync(directory, { recursive: true });
    }
  },
);

test('attributes of a file, and where something is mounted', () => {
  expect(attributesOf('/proc')).toEqual({ immutable: false, appendOnly: false, mountPoint: true });
  expect(attributesOf(base)).toEqual({ immutable: false, appendOnly: false, mountPoint: false });
  expect(attributesOf(path.join(base, 'none'))).toMatchObject({ immutable: false });
});

test('an open file, a device, and one that is not there', () => {
  const file = path.join(base, 'open');
  fs.writeFileSync(file, 'abc');
  const fd = fs.openSync(file, 'r');
  expect(statusOfOpen(fd)).toEqual(statusOf(file));
  fs.closeSync(fd);
  expect(() => statusOfOpen(fd)).toThrow(/EBADF/);
  expect(statusOf('/dev/null')?.node).toEqual([1, 3]);
  expect(statusOf(path.join(base, 'none'))).toBeUndefined();
  expect(() => statusOf(path.join(file, 'below'))).toThrow(/ENOTDIR/);
});
