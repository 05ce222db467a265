import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ByteString, fromBuffer, fromText } from './byte-string.ts';
import type { Entry } from './entry.ts';
import { encodeHeader, packedSize, padded } from './tar-header.ts';
import { TarReader } from './tar-reader.ts';

function read(tar: Buffer): Entry[] {
  const entries: Entry[] = [];
  const reader = new TarReader({ entry: (entry) => entries.push(entry), data: () => {}, endEntry: () => {} });
  reader.push(tar);
  return entries;
}

const base: Entry = {
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

test.each<[string, Partial<Entry>]>([
  ['a plain file', {}],
  ['the root', { path: '' as ByteString, type: 'directory' }],
  ['nanoseconds', { mtime: '1700000000123456789' }],
  ['before 1970', { mtime: '-1500000000' }],
  ['a fraction below zero', { mtime: '-1' }],
  ['far future', { mtime: '99999999999000000001' }],
  ['the last second of all', { mtime: '9223372036854775807999999999' }],
  ['the first second of all', { mtime: '-9223372036854775808000000000' }],
  ['the year -1200', { mtime: '-100000000000000000001' }],
  ['large ids', { uid: 4294967294, gid: 2097152 }],
  ['all mode bits', { mode: 0o7777 }],
  ['over 8 GiB', { size: 2 ** 33 + 5 }],
  ['100 bytes of name', { path: 'x'.repeat(98) as ByteString }],
  ['101 bytes of name', { path: 'x'.repeat(99) as ByteString }],
  ['a deep path', { path: Array(900).fill('dir').join('/') as ByteString }],
  ['UTF-8', { path: fromText('日本/é😀') }],
  ['not UTF-8', { path: fromBuffer(Buffer.from([0xff, 0xfe, 0x0a, 0x41])) }],
  ['long and not UTF-8', { path: fromBuffer(Buffer.alloc(200, 0xe9)) }],
  ['a newline', { path: 'a\nb=c 12 path=x' as ByteString }],
  ['a long symlink', { type: 'symlink', link: '../x'.repeat(100) as ByteString }],
  ['a hard link', { type: 'hardlink', link: 'b/c' as ByteString }],
  ['a device', { type: 'character', device: [1, 5] }],
  ['a fifo', { type: 'fifo' }],
  ['attributes', { xattrs: { 'user.a': Buffer.from('v\n=\0').toString('base64') } }],
  ['a sparse file', { size: 10_000_000, extents: [[4096, 4096]] }],
  [
    'a sparse file over 8 GiB',
    {
      size: 2 ** 40,
      extents: [
        [0, 10],
        [2 ** 39, 4096],
      ],
    },
  ],
  ['nothing but a hole', { size: 1_000_000, extents: [] }],
  ['a sparse file of long name', { path: fromText('é'.repeat(120)), size: 1_000_000, extents: [[0, 1]] }],
])('%s is read back as it was', (_, change) => {
  const entry: Entry = { ...base, ...change };
  const header = encodeHeader(entry);
  // A sparse map follows its header; other contents are not needed to read the entry.
  const map = entry.extents ? Buffer.alloc(padded(packedSize(entry))) : Buffer.alloc(0);
  if (entry.extents) {
    const { extents, size } = entry;
    const all = extents.some(([offset, length]) => offset + length === size)
      ? extents
      : [...extents, [size, 0]];
    map.write([all.length, ...all.flat(), ''].join('\n'), 'latin1');
  }
  expect(read(Buffer.concat([header, map]))).toEqual([entry]);
});

test('any name, time and id', () => {
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 200 })
    .map((bytes) => fromBuffer(bytes).replaceAll(/[/\0]|^\.+$/g, '_') as ByteString);
  fc.assert(
    fc.property(
      name,
      fc.bigInt({ min: -(2n ** 63n) * 10n ** 9n, max: 2n ** 63n * 10n ** 9n - 1n }),
      fc.nat(2 ** 32 - 2),
      (path, mtime, uid) => {
        const entry: Entry = { ...base, path, mtime: mtime.toString(), uid };
        expect(read(encodeHeader(entry))).toEqual([entry]);
      },
    ),
  );
});
