import { hash } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { PACKING } from '../../src/archive/create/chunker.ts';
import type { ByteString } from '../../src/archive/format/byte-string.ts';
import { contentDigest } from '../../src/archive/format/content-digest.ts';
import type { Entry } from '../../src/archive/format/entry.ts';
import { encodeEntry } from '../../src/archive/format/entry-line.ts';
import type { Member } from '../../src/archive/format/manifest.ts';
import { ManifestWriter } from '../../src/archive/format/manifest-writer.ts';
import { encodeHeader, encodeSparseMap, packedSize } from '../../src/archive/format/tar-header.ts';
import { endOfArchive, pax, rawEntry, sealed } from './raw-tar.ts';

/* Archives as an attacker would make them: every checksum is right, but the content is not. */

/** A directory that absolute names and links in these archives point to. The test creates it. */
export const OUTSIDE = path.join(os.tmpdir(), `km-hostile-outside-${process.pid}`);

const names = [
  ...['a', 'b', 'c', 'dir', 'dir/x', 'dir/y', 'link', 'link/x', './dir/', './', '.', '', 'dir/sub/z', 'h'],
  ...['..', '../outside/canary', '../new', 'dir/../../new', 'a/..', 'link/../x', './../x', '...', 'dir/...'],
  ...[
    '/',
    '//x',
    OUTSIDE,
    `${OUTSIDE}/canary`,
    `${OUTSIDE}/new`,
    '/proc/self/fd/1',
    'dir//x',
    'dir/./x',
    'a/',
  ],
  ...['.km-restore', '.km-restore/new', '.km-restore-target', '.km-restore/journal', '.km-backup.lock'],
  ...['km-backup-20260101T000000Z.tgz', 'archives/km-backup-20260101T000000Z.tgz.manifest', 'lost+found/x'],
  ...['__proto__', 'constructor/x', 'x\0y', '\xff\xfe\n', '\x1b[2J', 'n'.repeat(255), 'n'.repeat(256)],
  ...['d/'.repeat(700), `${'n'.repeat(255)}/`.repeat(12), 'm'.repeat(70_000)],
];
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom('a', 'b', 'dir', 'dir/x', 'link', 'link/x', 'h') },
  { weight: 4, arbitrary: fc.constantFrom(...names) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 120 }).map((b) => Buffer.from(b).toString('latin1')) },
);

const number = fc.oneof(
  fc.constantFrom(0, 1, 5, 511, 512, 513, 1024, 65_536, 2 ** 31, 2 ** 32, 2 ** 33, 2 ** 50),
  fc.constantFrom(2 ** 32 - 1, 2 ** 53 - 1, 2 ** 53, 2 ** 63, 2 ** 64),
  fc.nat(2000),
);
/** Bytes of a numeric field: octal, base 256 of either sign, and invalid ones. */
const field = fc.oneof(
  number.map((value) => Buffer.from(value.toString(8), 'latin1')),
  fc.tuple(number, fc.boolean()).map(([value, negative]) => base256(negative ? -value : value)),
  fc
    .constantFrom('', ' ', '-1', '0x10', '7777777777777', '8', '1 2', '\xff')
    .map((t) => Buffer.from(t, 'latin1')),
  fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
);

function base256(value: number): Buffer {
  const bytes = Buffer.alloc(12);
  let rest = BigInt.asUintN(96, BigInt(value));
  for (let i = 11; i >= 0; i--, rest >>= 8n) bytes[i] = Number(rest & 0xffn);
  bytes[0]! |= 0x80;
  return bytes;
}

/** Offset and width of the fields of a header. */
const fields = {
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  major: [329, 8],
  minor: [337, 8],
  sparse: [386, 24],
  more: [482, 1],
  realSize: [483, 12],
} as const;

interface Mutation {
  readonly place: keyof typeof fields | number;
  readonly bytes: Buffer;
}
const mutation: fc.Arbitrary<Mutation> = fc.record({
  place: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...(Object.keys(fields) as (keyof typeof fields)[])) },
    { weight: 1, arbitrary: fc.nat(511) },
  ),
  bytes: field,
});

function mutated(block: Buffer, mutations: readonly Mutation[]): Buffer {
  const copy = Buffer.from(block);
  for (const { place, bytes } of mutations) {
    const [at, width] =
      typeof place === 'number' ? [place, Math.min(bytes.length, 512 - place)] : fields[place];
    copy.fill(0, at, at + width);
    // Base 256 is right-aligned in its field.
    const fitting = bytes.length > width && (bytes[0]! & 0x80) !== 0 ? narrowed(bytes, width) : bytes;
    fitting.copy(copy, at, 0, width);
  }
  sealed(copy);
  return copy;
}

function narrowed(bytes: Buffer, width: number): Buffer {
  const last = Buffer.from(bytes.subarray(bytes.length - width));
  last[0]! |= 0x80;
  return last;
}

const paxValue = fc.oneof(
  name,
  number.map(String),
  fc.constantFrom(
    '1',
    '0',
    '-1',
    '1.5',
    '-0.5',
    '99999999999999',
    '1e9',
    '',
    '0,5,10,5',
    '5,0,0,5',
    '0,512',
    'é',
  ),
);
const paxKey = fc.constantFrom(
  ...[
    'path',
    'path',
    'linkpath',
    'size',
    'uid',
    'gid',
    'mtime',
    'atime',
    'hdrcharset',
    'comment',
    '__proto__',
  ],
  ...['GNU.sparse.major', 'GNU.sparse.minor', 'GNU.sparse.name', 'GNU.sparse.realsize', 'GNU.sparse.size'],
  ...['GNU.sparse.map', 'GNU.sparse.offset', 'GNU.sparse.numbytes', 'GNU.sparse.numblocks'],
  ...['SCHILY.xattr.user.x', 'SCHILY.xattr.security.capability', 'SCHILY.xattr.', 'SCHILY.xattr.__proto__'],
  ...['SCHILY.xattr.system.posix_acl_access', 'SCHILY.acl.access', 'LIBARCHIVE.xattr.user.x', ''],
);
const extension: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(
        fc.dictionary(paxKey, paxValue, { maxKeys: 4, noNullPrototype: true }),
        fc.constantFrom('x', 'x', 'x', 'g'),
      )
      .map(([records, type]) => pax(records, type)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        paxKey,
        paxValue,
        fc.constantFrom('0', '3', '9', '999', '99999999999', '-5', '', ' 12', '1e1'),
        fc.constantFrom('x', 'g'),
      )
      .map(([key, value, length, type]) =>
        rawEntry({ name: 'PaxHeaders/x', type, content: `${length} ${key}=${value}\n` }),
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(name, fc.constantFrom('L', 'K'))
      .map(([text, type]) => rawEntry({ name: '././@LongLink', type, content: `${text}\0` })),
  },
);

const content = fc.oneof(
  fc.constantFrom(
    '',
    'content',
    'x'.repeat(512),
    'y'.repeat(1500),
    '1\n0\n5\n'.padEnd(512, '\0'),
    '9999999999\n',
  ),
  fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
);
const type = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('0', '0', '5', '2', '1', '5') },
  {
    weight: 3,
    arbitrary: fc.constantFrom('\0', '3', '4', '6', '7', 'S', 'V', 'M', 'D', 'A', 'x', 'g', 'L', 'K', 'Z'),
  },
);
const entry: fc.Arbitrary<Buffer> = fc
  .record({
    extensions: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 2, arbitrary: fc.array(extension, { maxLength: 3 }) },
    ),
    header: fc.record({
      name: name.map((text) => text.slice(0, 100)),
      type,
      link: name.map((text) => text.slice(0, 100)),
      mode: fc.constantFrom(0o644, 0o755, 0o4755, 0o2755, 0o7777, 0),
      content,
    }),
    mutations: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      { weight: 2, arbitrary: fc.array(mutation, { maxLength: 3 }) },
    ),
  })
  .map(({ extensions, header, mutations }) => {
    const body = ['0', '7', 'S', '\0', 'x', 'g', 'L', 'K'].includes(header.type) ? header.content : '';
    const whole = rawEntry({ ...header, content: body });
    return Buffer.concat([...extensions, mutated(whole.subarray(0, 512), mutations), whole.subarray(512)]);
  });

const file = (path: string, text = 'through') => rawEntry({ name: path, content: text });
const symlink = (path: string, link: string) => rawEntry({ name: path, type: '2', link });
const hardlink = (path: string, link: string) => rawEntry({ name: path, type: '1', link });
const directory = (path: string) => rawEntry({ name: path, type: '5', mode: 0o755 });
/** Attacks, each of which is known to have harmed some program. */
const sequence: fc.Arbitrary<readonly Buffer[]> = fc.constantFrom(
  [symlink('link', '../outside'), file('link/canary')],
  [symlink('link', OUTSIDE), file('link/canary')],
  [symlink('link', '..'), symlink('l2', 'link/outside'), file('l2/canary')],
  [symlink('link', '../outside/canary'), hardlink('h', 'link'), file('h')],
  [symlink('link', '../outside/canary'), file('link')],
  [directory('dir'), symlink('dir', '../outside'), file('dir/canary')],
  [symlink('dir', '../outside'), directory('dir'), file('dir/canary')],
  [hardlink('h', '../outside/canary'), file('h')],
  [hardlink('h', `${OUTSIDE}/canary`)],
  [file('a'), hardlink('h', 'a'), file('h')],
  [file('a'), file('a', 'again')],
  [rawEntry({ name: 'null', type: '3', mode: 0o666 })],
  [rawEntry({ name: 'shell', mode: 0o6755, content: '#!/bin/sh' })],
  [pax({ path: '../new' }, 'g'), file('a')],
  [rawEntry({ name: 'l', type: 'L', content: '../new\0' }), pax({ path: 'fine' }), file('a')],
  [pax({ size: '0' }), file('a', 'x'.repeat(512))],
  [pax({ 'GNU.sparse.name': '../new', 'GNU.sparse.size': '5', 'GNU.sparse.map': '0,5' }), file('a', '12345')],
);

/** The pieces of a tar, in order. Each may become a separate gzip member. */
const pieces: fc.Arbitrary<readonly Buffer[]> = fc
  .tuple(
    fc.boolean(),
    fc.array(
      fc.oneof(
        { weight: 3, arbitrary: entry.map((one) => [one] as const) },
        { weight: 1, arbitrary: sequence },
      ),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    fc.oneof(
      { weight: 6, arbitrary: fc.constant([endOfArchive]) },
      { weight: 1, arbitrary: fc.constant([]) },
    ),
  )
  .map(([rooted, groups, end]) => [...(rooted ? [directory('./')] : []), ...groups.flat(), ...end]);

/** A tar with arbitrary lies, in gzip members that end between its pieces. */
export const hostileTar: fc.Arbitrary<Buffer> = fc
  .tuple(pieces, fc.integer({ min: 1, max: 8 }))
  .map(([all, size]) =>
    Buffer.concat(grouped(all, size).map((group) => gzipSync(Buffer.concat(group), { level: 1 }))),
  );

function grouped<T>(all: readonly T[], size: number): T[][] {
  const groups: T[][] = [];
  for (let i = 0; i < all.length; i += size) groups.push(all.slice(i, i + size));
  return groups;
}

/** What a manifest may say of an entry. Most sizes are small and match the content. */
const listed: fc.Arbitrary<{ entry: Entry; body: Buffer }> = fc
  .record({
    name: name.map((text) => text.replaceAll('\0', '_').slice(0, 3500)),
    type: fc.constantFrom<Entry['type']>(
      ...(['file', 'file', 'file', 'directory', 'directory', 'symlink', 'hardlink'] as const),
      ...(['fifo', 'character', 'block'] as const),
    ),
    mode: fc.constantFrom(0o644, 0o755, 0o4755, 0o7777, 0, 0o10000),
    id: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1000) }, { weight: 1, arbitrary: number }),
    text: content.map((text) => Buffer.from(text, 'latin1')),
    claims: fc.oneof({ weight: 6, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: number }),
    mtime: fc.constantFrom('0', '1700000000000000000', '-5', '99999999999999999999', '-99999999999999999999'),
    link: name.map((text) => text.replaceAll('\0', '_').slice(0, 3500)),
    holes: fc.oneof(
      { weight: 5, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom(0, 512, 100_000, 2 ** 22, 2 ** 50) },
    ),
    more: fc.oneof(
      { weight: 5, arbitrary: fc.constant({}) },
      {
        weight: 1,
        arbitrary: fc.constantFrom<Partial<Entry>>(
          { parts: 1 },
          { parts: 0 },
          { parts: 2 ** 40 },
          { device: [1, 3] },
          { device: [2 ** 40, 3] },
          { xattrs: { 'security.capability': 'AQAAAgAAAAAAAAAAAAAAAAAAAAA=' } },
          { xattrs: { 'user.x': '!!', 'trusted.x': 'AA==', '': '', 'no namespace': 'AA==' } },
          { xattrs: { [`user.${'x'.repeat(300)}`]: 'AA==', 'user.a\0b': 'AA==', 'user.é': 'AA==' } },
          { extents: [] },
          {
            extents: [
              [5, 5],
              [0, 5],
            ],
          },
          { extents: [[0, 2 ** 52]] },
          { sha256: 'f'.repeat(64) },
        ),
      },
    ),
  })
  .map(({ name: path, type, mode, id, text, claims, mtime, link, holes, more }) => {
    const isFile = type === 'file';
    const size =
      holes === undefined && claims !== undefined ? claims : isFile ? text.length + (holes ?? 0) : 0;
    const given: Entry = {
      path: path as ByteString,
      type,
      mode,
      uid: id,
      gid: id,
      size,
      mtime,
      ctime: '0',
      ino: '1',
      ...(type === 'symlink' || type === 'hardlink' ? { link: link as ByteString } : {}),
      ...(isFile && holes !== undefined && text.length > 0
        ? { extents: [[holes, text.length] as const] }
        : {}),
      ...more,
    };
    const body = isFile ? packed(given, text) : Buffer.alloc(0);
    if (!isFile || given.sha256 !== undefined || given.parts !== undefined) return { entry: given, body };
    // Computing the digest of a petabyte of holes would take too long.
    return { entry: { ...given, sha256: size < 2 ** 24 ? digest(given, body) : 'f'.repeat(64) }, body };
  });

function packed(entry: Entry, text: Buffer): Buffer {
  return entry.extents && entry.size < 2 ** 52
    ? Buffer.concat([encodeSparseMap(entry.extents, entry.size), text])
    : text;
}

function digest(entry: Entry, body: Buffer): string {
  try {
    return contentDigest(entry, body) ?? '0'.repeat(64);
  } catch {
    return '0'.repeat(64);
  }
}

/** Writes an archive and a manifest that agree with each other, even if both are wrong. */
export interface Forged {
  readonly archive: Buffer;
  readonly manifest: Buffer;
}

export const forgedArchive: fc.Arbitrary<Forged> = fc
  .record({
    rooted: fc.boolean(),
    entries: fc.array(listed, { minLength: 1, maxLength: 4 }),
    size: fc.integer({ min: 1, max: 4 }),
    compression: fc.constantFrom('gzip', 'gzip', 'zstd'),
    lies: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: entry }),
    kind: fc.oneof(
      { weight: 6, arbitrary: fc.constant('group' as const) },
      { weight: 1, arbitrary: fc.constantFrom('header' as const, 'part' as const, 'end' as const) },
    ),
    member: fc.oneof(
      { weight: 6, arbitrary: fc.constant({}) },
      {
        weight: 1,
        arbitrary: fc.constantFrom<Partial<Member>>(
          { rawSize: 0 },
          { rawSize: 2 ** 40 },
          { rawSize: 2 ** 26 },
          { size: 2 ** 40 },
          { size: 0 },
          { offset: 2 ** 40 },
        ),
      },
    ),
  })
  .map(({ rooted, entries, size, compression, lies, kind, member }) => {
    const root: Entry = {
      path: '' as ByteString,
      type: 'directory',
      mode: 0o755,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: '1700000000000000000',
      ctime: '0',
      ino: '1',
    };
    const all = [...(rooted ? [{ entry: root, body: Buffer.alloc(0) }] : []), ...entries];
    const groups = grouped(all, size);
    const archive: Buffer[] = [];
    const manifest: Buffer[] = [];
    let offset = 0;
    let members = 0;
    const writer = new ManifestWriter({
      get position() {
        return manifest.reduce((sum, { length }) => sum + length, 0);
      },
      append: (bytes) => void manifest.push(Buffer.from(bytes)),
    });
    const add = (raw: Buffer, lines: string, more: Partial<Member>) => {
      const bytes = compression === 'gzip' ? gzipSync(raw, { level: 1 }) : zstdCompressSync(raw);
      const given: Member = {
        kind: 'group',
        offset,
        size: bytes.length,
        rawSize: raw.length,
        sha256: hash('sha256', bytes, 'hex'),
        ...(more.kind === 'part' ? { rawSha256: hash('sha256', raw, 'hex') } : {}),
        ...more,
      };
      writer.add(given, lines);
      archive.push(bytes);
      offset += given.size;
      members++;
    };
    groups.forEach((group, index) => {
      const raw = Buffer.concat([
        ...group.flatMap(({ entry: one, body }) => [
          header(one),
          body,
          Buffer.alloc((512 - (body.length % 512)) % 512),
        ]),
        ...(lies && index === 0 ? [lies] : []),
      ]);
      const lines = group.map(({ entry: one }) => encodeEntry(one)).join('');
      add(raw, lines, index === groups.length - 1 ? { kind, ...member } : {});
      for (const { entry: one, body } of group) {
        if (one.parts === 1 && packedSizeOr(one) === body.length) add(body, '', { kind: 'part' });
      }
    });
    add(endOfArchive, '', { kind: 'end' });
    const bytes = Buffer.concat(archive);
    writer.finish({
      format: 1,
      archive: '',
      series: null,
      startedAt: '2026-01-01T00:00:00Z',
      finishedAt: '2026-01-01T00:00:00Z',
      compression: compression === 'gzip' ? 'gzip' : 'zstd',
      level: 1,
      packing: PACKING,
      sizeBytes: bytes.length,
      sha256: hash('sha256', bytes, 'hex'),
      members,
      entries: all.length,
      files: 1,
      sourceBytes: 1,
      reusedBytes: 0,
      socketsSkipped: 0,
      excluded: 0,
      warnings: { count: 0, samples: [] },
    });
    return { archive: bytes, manifest: Buffer.concat(manifest) };
  });

function packedSizeOr(entry: Entry): number {
  return entry.size < 2 ** 52 ? packedSize(entry) : -1;
}

function header(entry: Entry): Buffer {
  try {
    return encodeHeader(entry);
  } catch {
    return sealed(Buffer.alloc(512));
  }
}
