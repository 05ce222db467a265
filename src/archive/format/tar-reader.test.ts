import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endOfArchive, pax, type RawEntry, rawEntry, sealed } from '../../../test/support/raw-tar.ts';
import type { Entry } from './entry.ts';
import { TarReader } from './tar-reader.ts';

interface Read {
  readonly entry: Entry;
  readonly content: Buffer;
}

/** Reads a tar given in pieces; content has its holes filled. */
function read(tar: Buffer, pieces: readonly number[] = []): Read[] {
  const found: { entry: Entry; content: Buffer }[] = [];
  const reader = new TarReader({
    entry: (entry) => found.push({ entry, content: Buffer.alloc(entry.size) }),
    data: (chunk, offset) => {
      chunk.copy(found.at(-1)!.content, offset);
    },
    endEntry: () => {},
  });
  let at = 0;
  for (const piece of pieces) {
    reader.push(tar.subarray(at, at + piece));
    at += piece;
  }
  reader.push(tar.subarray(at));
  reader.end();
  return found;
}

const tarOf = (...entries: (RawEntry | Buffer)[]) =>
  Buffer.concat([...entries.map((each) => (Buffer.isBuffer(each) ? each : rawEntry(each))), endOfArchive]);

describe('archives of GNU tar', () => {
  let directory: string;
  const long = `${'directory-with-a-long-name-'.repeat(6)}/${'and-a-file-with-one-too-'.repeat(8)}`;
  const sparseSize = 4 * 1024 * 1024;
  let sparseContent: Buffer;

  beforeAll(() => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), 'km-tar-'));
    const tree = path.join(directory, 'tree');
    fs.mkdirSync(path.dirname(path.join(tree, long)), { recursive: true });
    fs.writeFileSync(path.join(tree, long), 'long');
    fs.writeFileSync(path.join(tree, 'file'), 'content');
    fs.linkSync(path.join(tree, 'file'), path.join(tree, 'second'));
    fs.symlinkSync(`${'far/'.repeat(40)}away`, path.join(tree, 'link'));
    fs.writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0x66, 0xff, 0x0a])]), 'bytes');
    execFileSync('mkfifo', [path.join(tree, 'fifo')]);
    const fd = fs.openSync(path.join(tree, 'sparse'), 'w');
    fs.ftruncateSync(fd, sparseSize);
    for (let i = 0; i < 30; i++) fs.writeSync(fd, Buffer.alloc(4096, i + 1), 0, 4096, i * 131_072);
    fs.closeSync(fd);
    sparseContent = fs.readFileSync(path.join(tree, 'sparse'));
  });
  afterAll(() => fs.rmSync(directory, { recursive: true }));

  const pack = (...options: string[]) =>
    execFileSync('tar', ['-c', '--sort=name', ...options, '-C', path.join(directory, 'tree'), '.'], {
      maxBuffer: 1 << 28,
    });

  test.each([
    ['gnu', ['--format=gnu']],
    ['gnu, sparse', ['--format=gnu', '-S']],
    ['pax', ['--format=posix']],
    ['pax, sparse 0.0', ['--format=posix', '-S', '--sparse-version=0.0']],
    ['pax, sparse 0.1', ['--format=posix', '-S', '--sparse-version=0.1']],
    ['pax, sparse 1.0', ['--format=posix', '-S', '--sparse-version=1.0']],
  ])('%s', (name, options) => {
    const tar = pack(...options);
    const found = new Map(read(tar).map(({ entry, content }) => [entry.path as string, { entry, content }]));
    expect(found.get('')?.entry.type).toBe('directory');
    expect(found.get(long)?.content.toString()).toBe('long');
    expect(found.get('file')?.content.toString()).toBe('content');
    expect(found.get('second')?.entry).toMatchObject({ type: 'hardlink', link: 'file', size: 0 });
    expect(found.get('link')?.entry).toMatchObject({ type: 'symlink', link: `${'far/'.repeat(40)}away` });
    expect(found.get('f\xff\n')?.content.toString()).toBe('bytes');
    expect(found.get('fifo')?.entry.type).toBe('fifo');
    const sparse = found.get('sparse')!;
    expect(sparse.content.equals(sparseContent)).toBe(true);
    expect(sparse.entry.size).toBe(sparseSize);
    if (name.includes('sparse')) expect(sparse.entry.extents).toHaveLength(30);
    const stats = fs.lstatSync(path.join(directory, 'tree/file'), { bigint: true });
    const precise = options.includes('--format=posix');
    const seconds = (stats.mtimeNs / 1_000_000_000n) * 1_000_000_000n;
    expect(found.get('file')?.entry.mtime).toBe((precise ? stats.mtimeNs : seconds).toString());
  });

  test('v7 and ustar, with names that fit', () => {
    for (const format of ['v7', 'ustar']) {
      const tar = execFileSync('tar', [
        '-c',
        `--format=${format}`,
        '-C',
        path.join(directory, 'tree'),
        './file',
      ]);
      expect(read(tar)).toMatchObject([{ entry: { path: 'file', type: 'file', size: 7 } }]);
    }
  });

  test('pieces of any size give the same', () => {
    const tar = pack('--format=posix', '-S');
    const digests = (found: Read[]) =>
      found.map(({ entry, content }) => ({ entry, digest: hash('sha256', content) }));
    const whole = digests(read(tar));
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2000 }), { maxLength: 300 }), (pieces) => {
        expect(digests(read(tar, pieces))).toEqual(whole);
      }),
      { numRuns: 20 },
    );
  });

  test('extended attributes', () => {
    const file = path.join(directory, 'tree/file');
    execFileSync('python3', [
      '-c',
      'import os,sys; os.setxattr(sys.argv[1], "user.note", b"a\\nb=\\xff\\0c")',
      file,
    ]);
    const found = read(pack('--xattrs')).find(({ entry }) => entry.path === 'file');
    const value = Buffer.from('a\nb=\xff\0c', 'latin1').toString('base64');
    expect(found?.entry.xattrs).toEqual({ 'user.note': value });
  });
});

describe('numbers and names', () => {
  test('times before 1970 and finer than a second', () => {
    const times = {
      '-0.5': '-500000000',
      '1700000000.123456789': '1700000000123456789',
      '-1.0000000001': '-1000000001',
    };
    for (const [text, mtime] of Object.entries(times)) {
      expect(read(tarOf(pax({ mtime: text }), { name: 'f' }))[0]?.entry.mtime).toBe(mtime);
    }
  });

  test.each([
    ['9223372036854775807.999999999', '9223372036854775807999999999'],
    ['-9223372036854775808', '-9223372036854775808000000000'],
    ['-37725321599.5', '-37725321599500000000'],
    ['99999999999', '99999999999000000000'],
  ])('any signed 64-bit second: %s', (text, mtime) => {
    expect(read(tarOf(pax({ mtime: text }), { name: 'f' }))[0]?.entry.mtime).toBe(mtime);
  });

  test.each(['9223372036854775808', '-9223372036854775809', '-9223372036854775808.1', '1e9', ''])(
    'a time that Linux cannot hold: %j',
    (text) => {
      expect(() => read(tarOf(pax({ mtime: text }), { name: 'f' }))).toThrow(/mtime/);
    },
  );

  test.each([2n ** 63n - 1n, -(2n ** 63n), -1n, 2n ** 53n + 1n])('base-256 seconds: %s', (seconds) => {
    const entry = rawEntry({ name: 'f' });
    entry.fill(seconds < 0n ? 0xff : 0, 136, 148);
    entry[136] = seconds < 0n ? 0xff : 0x80;
    entry.writeBigInt64BE(seconds, 140);
    sealed(entry);
    expect(read(tarOf(entry))[0]?.entry.mtime).toBe((seconds * 1_000_000_000n).toString());
  });

  test('base-256 numbers', () => {
    const entry = rawEntry({ name: 'f' });
    entry.fill(0, 108, 116);
    entry[108] = 0x80;
    entry.writeUInt32BE(3_000_000_000, 112);
    sealed(entry);
    expect(read(tarOf(entry))[0]?.entry.uid).toBe(3_000_000_000);
  });

  test('a global header holds for all that follow, a local one for the next', () => {
    const found = read(tarOf(pax({ uid: '7' }, 'g'), pax({ uid: '9' }), { name: 'a' }, { name: 'b' }));
    expect(found.map(({ entry }) => entry.uid)).toEqual([9, 7]);
  });

  test('the prefix of ustar counts', () => {
    const entry = rawEntry({ name: 'name' });
    entry.write('some/prefix', 345);
    expect(read(tarOf(sealed(entry)))[0]?.entry.path).toBe('some/prefix/name');
  });
});

describe('headers that cost much to read', () => {
  /** CPU time of this thread for so many turns, at best of three: a busy machine adds little to it. Microseconds. */
  const cost = (tar: Buffer, turns = 1) =>
    Math.min(
      ...[1, 2, 3].map(() => {
        const start = process.threadCpuUsage();
        for (let turn = 0; turn < turns; turn++)
          new TarReader({ entry: () => {}, data: () => {}, endEntry: () => {} }).push(tar);
        return process.threadCpuUsage(start).user;
      }),
    );
  const xattrs = (count: number) =>
    tarOf(pax(Object.fromEntries(Array.from({ length: count }, (_, i) => [`SCHILY.xattr.user.${i}`, 'v']))), {
      name: 'f',
    });
  const small = (count: number) =>
    tarOf(...Array.from({ length: count }, (_, i) => pax({ [`SCHILY.xattr.user.${i}`]: 'v' })), {
      name: 'f',
    });
  const pairs = (count: number) => {
    const records = Array.from({ length: count }, (_, i) => [
      `GNU.sparse.offset=${2 * i}`,
      'GNU.sparse.numbytes=0',
    ]).flat();
    const lines = records.map((record) => {
      let length = record.length + 2;
      while (String(length).length + record.length + 2 !== length)
        length = String(length).length + record.length + 2;
      return `${length} ${record}\n`;
    });
    const sparse = pax({ 'GNU.sparse.major': '0', 'GNU.sparse.realsize': '9999999' });
    // The empty headers after it must not copy what came before.
    const empty = Array.from({ length: 1000 }, () => pax({ comment: 'x' }));
    return tarOf(sparse, rawEntry({ name: 'x', type: 'x', content: lines.join('') }), ...empty, {
      name: 's',
    });
  };

  test.each<[string, (count: number) => Buffer]>([
    ['attributes in one header', xattrs],
    ['headers of one attribute each', small],
    ['pairs of a sparse map', pairs],
  ])('%s: linear in their number', (_, make) => {
    const [one, ten] = [make(2000), make(20_000)];
    cost(one);
    // Both are long enough for a clock that ticks every 4 ms. Quadratic cost would be 10 times as high.
    expect(cost(ten)).toBeLessThan(4 * cost(one, 10));
  });

  test('ten thousand attributes are read', () => {
    const [found] = read(xattrs(10_000));
    expect(Object.keys(found!.entry.xattrs!)).toHaveLength(10_000);
  });

  test('the extended headers of one entry are bounded together', () => {
    const large = rawEntry({ name: 'x', type: 'L', content: Buffer.alloc(8 * 1024 * 1024, 0x61) });
    expect(() => read(tarOf(large, large, large, { name: 'f' }))).toThrow(/extended headers of \d+ bytes/);
  });

  test('an attribute called __proto__ is one like others', () => {
    const [found] = read(tarOf(pax({ 'SCHILY.xattr.__proto__': 'v' }), { name: 'f' }));
    expect(Object.entries(found!.entry.xattrs!)).toEqual([['__proto__', 'dg==']]);
  });
});

describe('damaged and hostile headers', () => {
  const bitFlip = rawEntry({ name: 'file', content: 'x' });
  bitFlip[3]! ^= 1;
  const oldSparse = (realSize: string, offset: string, length: string) => {
    const entry = rawEntry({ name: 's', type: 'S', content: 'x'.repeat(512) });
    entry.write(offset, 386);
    entry.write(length, 398);
    entry.write(realSize, 483);
    return sealed(entry);
  };
  const sparse10 = (map: string) =>
    Buffer.concat([
      pax({
        'GNU.sparse.major': '1',
        'GNU.sparse.minor': '0',
        'GNU.sparse.name': 's',
        'GNU.sparse.realsize': '1024',
      }),
      rawEntry({ name: 'x', content: map.padEnd(512, '\0') + 'y'.repeat(512) }),
    ]);

  test.each<[string, Buffer, RegExp]>([
    ['nothing', Buffer.alloc(0), /cut short/],
    ['no end mark', rawEntry({ name: 'f' }), /cut short/],
    ['half an end mark', Buffer.concat([rawEntry({ name: 'f' }), Buffer.alloc(512)]), /cut short/],
    ['cut within content', tarOf({ name: 'f', content: 'x'.repeat(5000) }).subarray(0, 2000), /cut short/],
    ['cut within a header', tarOf({ name: 'f' }).subarray(0, 300), /cut short/],
    ['a lone zero block', Buffer.concat([Buffer.alloc(512), tarOf({ name: 'f' })]), /lone zero block/],
    ['a second archive', Buffer.concat([tarOf({ name: 'f' }), tarOf({ name: 'g' })]), /follow the end/],
    ['a flipped bit', tarOf(bitFlip), /checksum/],
    [
      'a malformed number',
      tarOf(sealed(Buffer.concat([rawEntry({ name: 'f' })]).fill('9', 124, 130))),
      /malformed size/,
    ],
    ['a negative size', tarOf(sealed(rawEntry({ name: 'f' }).fill(0xff, 124, 136))), /negative size/],
    ['a huge size', tarOf(sealed(rawEntry({ name: 'f' }).fill(0x90, 124, 136))), /out of range/],
    [
      'a pax record beyond its header',
      tarOf(rawEntry({ name: 'x', type: 'x', content: '99 path=a\n' })),
      /malformed/,
    ],
    [
      'a pax record without an end',
      tarOf(rawEntry({ name: 'x', type: 'x', content: '9 path=ab' })),
      /malformed/,
    ],
    ['a pax header of nothing', tarOf(pax({ path: 'a' })), /followed by no entry/],
    ['an endless pax header', tarOf({ name: 'x', type: 'x', size: 2 ** 32 }), /extended header of/],
    ['a pax size with rubbish', tarOf(pax({ size: '1e3' }), { name: 'f' }), /malformed size/],
    ['a directory with content', tarOf({ name: 'd', type: '5', content: 'x' }), /with content/],
    ['a symlink with content', tarOf({ name: 'l', type: '2', link: 'a', content: 'x' }), /with content/],
    ['an unknown type', tarOf({ name: 'q', type: 'q' }), /unknown type/],
    ['a multi-volume archive', tarOf({ name: 'q', type: 'M' }), /unknown type/],
    ['a pax path out of the tree', tarOf(pax({ path: '../x' }), { name: 'harmless' }), /"\.\."/],
    [
      'a GNU long name out of the tree',
      tarOf({ name: '././@LongLink', type: 'L', content: '/x\0' }, { name: 'h' }),
      /absolute/,
    ],
    [
      'a sparse name out of the tree',
      tarOf(pax({ 'GNU.sparse.major': '0', 'GNU.sparse.name': '../x' }), { name: 'h' }),
      /"\.\."/,
    ],
    ['a hard link out of the tree', tarOf({ name: 'h', type: '1', link: '../x' }), /"\.\."/],
    ['a sparse map that overlaps', tarOf(sparse10('2\n0\n512\n256\n512\n')), /overlaps/],
    ['a sparse map past the end', tarOf(sparse10('1\n1000\n512\n')), /overlaps/],
    ['a sparse map of other size', tarOf(sparse10('1\n0\n100\n')), /sparse map of 100 bytes/],
    ['a sparse map of millions', tarOf(sparse10('99999999\n')), /extents/],
    ['a sparse map without end', tarOf(sparse10('900\n')), /sparse map/],
    ['a sparse map of letters', tarOf(sparse10('a\n')), /malformed sparse map/],
    ['an old sparse map past the end', tarOf(oldSparse('100', '0', '1000')), /overlaps/],
    ['an old sparse file of other size', tarOf(oldSparse('10000', '0', '100')), /sparse map of 64 bytes/],
  ])('%s', (_, tar, why) => {
    expect(() => read(tar)).toThrow(why);
  });

  test('any flipped bit in a header is noticed, or gives no other name', () => {
    const good = tarOf({ name: 'safe/name', content: 'x'.repeat(600) }, { name: 'other' });
    for (let bit = 0; bit < 512 * 8; bit++) {
      const bad = Buffer.from(good);
      bad[bit >> 3]! ^= 1 << (bit & 7);
      let names: string[] = ['refused'];
      try {
        names = read(bad).map(({ entry }) => entry.path);
      } catch (error) {
        expect(error).toMatchObject({ name: 'ArchiveError' });
      }
      // The checksum field itself may differ in its padding.
      expect([['refused'], ['safe/name', 'other']]).toContainEqual(names);
    }
  });

  test('random bytes are refused, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4096 }), (bytes) => {
        const tar = Buffer.from(bytes);
        if (tar.every((byte) => byte === 0)) return;
        expect(() => read(tar)).toThrow(expect.objectContaining({ name: 'ArchiveError' }));
      }),
    );
  });
});
