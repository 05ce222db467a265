import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type * as Libc from './libc.ts';

const noOpenat2 = vi.hoisted(() => ({ errno: undefined as number | undefined }));
vi.mock('./libc.ts', async (original) => {
  const libc = await original<typeof Libc>();
  const tryCall: typeof libc.tryCall = (name, ...values) =>
    name === 'syscall' && noOpenat2.errno !== undefined
      ? { errno: noOpenat2.errno }
      : libc.tryCall(name, ...values);
  return { ...libc, tryCall };
});

let root: string;
let outside: string;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'km-beneath-'));
  outside = fs.mkdtempSync(path.join(os.tmpdir(), 'km-outside-'));
  fs.writeFileSync(path.join(outside, 'secret'), 'secret');
  fs.mkdirSync(path.join(root, 'a/b'), { recursive: true });
  fs.writeFileSync(path.join(root, 'a/b/file'), 'inside');
  fs.symlinkSync(outside, path.join(root, 'out'));
  fs.symlinkSync('a', path.join(root, 'in'));
  fs.symlinkSync('b/file', path.join(root, 'a/link'));
});
afterEach(() => {
  for (const directory of [root, outside]) fs.rmSync(directory, { recursive: true });
});

describe.each([
  ['with openat2', undefined, 'ELOOP'],
  ['where the kernel lacks openat2', 38, 'ENOTDIR'],
  ['where a sandbox forbids openat2', 1, 'ENOTDIR'],
])('%s', (_, errno, onTheWay) => {
  const openings = async () => {
    vi.resetModules();
    noOpenat2.errno = errno;
    const { openBeneath } = await import('./beneath.ts');
    const directory = fs.openSync(root, 'r');
    return {
      read: (name: string) => {
        const fd = openBeneath(directory, name, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
        try {
          return fs.fstatSync(fd).isDirectory() ? 'directory' : fs.readFileSync(fd, 'utf8');
        } finally {
          fs.closeSync(fd);
        }
      },
      [Symbol.dispose]: () => fs.closeSync(directory),
    };
  };

  test('opens what lies beneath, and the directory itself', async () => {
    using at = await openings();
    expect(['a/b/file', 'a/b', ''].map(at.read)).toEqual(['inside', 'directory', 'directory']);
  });

  test.each([
    ['out/secret', onTheWay],
    ['in/b/file', onTheWay],
    ['a/link', 'ELOOP'],
    ['../x', 'EXDEV'],
    ['a/none/file', 'ENOENT'],
  ])('refuses %s with %s', async (name, code) => {
    using at = await openings();
    expect(() => at.read(name)).toThrow(expect.objectContaining({ code }));
  });

  test('opens paths that are longer than the kernel takes at once, and leaves no descriptor open', async () => {
    using at = await openings();
    const name = 'n'.repeat(250);
    fs.mkdirSync(path.join(root, name, name), { recursive: true });
    const open = () => fs.readdirSync('/proc/self/fd').length;
    const before = open();
    const long = `${'./'.repeat(5000)}${name}/${name}`;
    expect(at.read(long)).toBe('directory');
    expect(() => at.read(`${long}/none/none`)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    expect(open()).toBe(before);
  });
});
