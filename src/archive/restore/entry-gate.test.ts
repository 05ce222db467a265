import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ByteString, fromText, toBuffer } from '../format/byte-string.ts';
import type { Entry, EntryType } from '../format/entry.ts';
import { normalizeName } from '../format/entry-name.ts';
import { type Admission, EntryGate, type RestorePolicy } from './entry-gate.ts';
import { lackOfSpace, spaceNeeded } from './space.ts';
import { TreeWriter } from './tree-writer.ts';

const strict: RestorePolicy = { preserveSetid: false, skipDevices: false };

function entry(path: string, type: EntryType = 'file', more: Partial<Entry> = {}): Entry {
  return {
    path: path as ByteString,
    type,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: '0',
    ctime: '0',
    ino: '0',
    ...more,
  };
}
const link = (path: string, to: string) => entry(path, 'symlink', { link: to as ByteString });
const hard = (path: string, to: string) => entry(path, 'hardlink', { link: to as ByteString });
const directory = (path: string) => entry(path, 'directory', { mode: 0o755 });

describe('names', () => {
  test.each([
    ['./', ''],
    ['.', ''],
    ['a', 'a'],
    ['./a/b/', 'a/b'],
    ['a//./b', 'a/b'],
    ['...', '...'],
    ['a/..b', 'a/..b'],
    [' ', ' '],
    ['a\nb', 'a\nb'],
    ['x'.repeat(255), 'x'.repeat(255)],
    ['x'.repeat(765), 'x'.repeat(765)],
  ])('%j is below the root', (raw, path) => {
    expect(normalizeName(raw as ByteString)).toEqual({ path });
  });

  test.each([
    ['', /empty/],
    ['/', /absolute/],
    ['/etc/passwd', /absolute/],
    ['//a', /absolute/],
    ['..', /"\.\."/],
    ['../a', /"\.\."/],
    ['a/../b', /"\.\."/],
    ['a/..', /"\.\."/],
    ['./../a', /"\.\."/],
    ['a\0b', /NUL/],
    [`${'d/'.repeat(40_000)}f`, /path of 80001 bytes/],
  ])('%j is refused', (raw, why) => {
    expect(normalizeName(raw as ByteString).refused).toMatch(why);
  });

  test('whatever is taken stays below the root for the kernel too', () => {
    const part = fc.constantFrom('.', '..', '', 'a', '..a', 'b\\', '~', '\xff');
    fc.assert(
      fc.property(fc.array(part, { minLength: 1 }), (parts) => {
        const verdict = normalizeName(parts.join('/') as ByteString);
        if (verdict.refused !== undefined) return;
        expect(path.join('/root', verdict.path)).toMatch(/^\/root(\/|$)/);
        expect(path.join('/root', parts.join('/')).replace(/\/$/, '')).toBe(path.join('/root', verdict.path));
      }),
    );
  });
});

describe('entries', () => {
  const run = (entries: Entry[], policy = strict) => {
    const gate = new EntryGate(policy);
    return entries.map((each) => gate.admit(each));
  };

  test.each<[string, Entry[], RegExp]>([
    ['absolute', [entry('/etc/passwd')], /absolute/],
    ['dot-dot', [entry('a/../../b')], /"\.\."/],
    ['not plain', [entry('a/./b')], /plain form/],
    ['a root that is a file', [entry('')], /not a directory/],
    ['a file twice', [entry('a'), entry('a')], /occurs twice/],
    ['a directory twice', [directory('a'), directory('a')], /occurs twice/],
    ['a directory over a file', [entry('a'), directory('a')], /occurs twice/],
    ['a symlink over a directory', [directory('a'), link('a', '/etc')], /occurs twice/],
    ['a symlink over an implied directory', [entry('a/b'), link('a', '/etc')], /occurs twice/],
    ['below a symlink', [link('a', '/etc'), entry('a/passwd')], /lies below 'a'/],
    ['far below a symlink', [link('a', '..'), entry('a/b/c/d')], /lies below 'a'/],
    ['below a chain of symlinks', [link('a', '.'), link('b', 'a/..'), entry('b/x')], /lies below 'b'/],
    ['a directory below a symlink', [link('a', '/tmp'), directory('a/b')], /lies below 'a'/],
    ['below a file', [entry('a'), entry('a/b')], /lies below 'a'/],
    ['below a hard link', [entry('f'), hard('a', 'f'), entry('a/b')], /lies below 'a'/],
    ['hard link to an absolute path', [hard('a', '/etc/passwd')], /absolute/],
    ['hard link with dot-dot', [hard('a', '../secret')], /"\.\."/],
    ['hard link to nothing', [hard('a', 'b')], /not an earlier file/],
    ['hard link to a later file', [hard('a', 'b'), entry('b')], /not an earlier file/],
    ['hard link to itself', [hard('a', 'a')], /not an earlier file/],
    ['hard link through a symlink', [link('d', '/etc'), hard('a', 'd/passwd')], /not an earlier file/],
    ['hard link to a directory', [directory('d'), hard('a', 'd')], /not an earlier file/],
    ['character device', [entry('null', 'character', { device: [1, 3] })], /device/],
    ['block device', [entry('sda', 'block', { device: [8, 0] })], /device/],
    ['empty symlink', [link('a', '')], /symlink of 0 bytes/],
    ['endless symlink', [link('a', 'x'.repeat(5000))], /symlink of 5000 bytes/],
  ])('%s: refused', (_, entries, why) => {
    expect(() => run(entries)).toThrow(why);
    expect(() => run(entries)).toThrow(/Nothing was changed/);
  });

  test('symlinks that lead anywhere are data, as long as nothing goes through them', () => {
    const admitted = run([
      directory(''),
      link('abs', '/etc/passwd'),
      link('up', '../..'),
      link('loop', 'loop'),
      hard('l2', 'up'),
    ]);
    expect(admitted.map(({ kind }) => kind)).toEqual(Array(5).fill('restore'));
  });

  test('directories that are not listed are implied, and may be listed later', () => {
    const gate = new EntryGate(strict);
    expect(gate.admit(entry('a/b/c'))).toMatchObject({ implied: ['a', 'a/b'] });
    expect(gate.admit(directory('a'))).toMatchObject({ kind: 'restore', implied: [] });
    expect(() => gate.admit(directory('a'))).toThrow(/occurs twice/);
  });

  test('setuid and setgid go from files, not from directories; capabilities go too', () => {
    const capable = entry('c', 'file', { xattrs: { 'security.capability': 'AAAA', 'user.x': 'AA==' } });
    const gate = new EntryGate(strict);
    expect(gate.admit(entry('s', 'file', { mode: 0o6755 }))).toMatchObject({ entry: { mode: 0o755 } });
    expect(gate.admit(entry('d', 'directory', { mode: 0o2775 }))).toMatchObject({ entry: { mode: 0o2775 } });
    expect(gate.admit(entry('t', 'file', { mode: 0o1644 }))).toMatchObject({ entry: { mode: 0o1644 } });
    expect(gate.admit(capable)).toMatchObject({ entry: { xattrs: { 'user.x': 'AA==' } } });
    expect(gate.stripped).toBe(2);
    const [kept] = run([entry('s', 'file', { mode: 0o6755 })], { ...strict, preserveSetid: true });
    expect(kept).toMatchObject({ entry: { mode: 0o6755 } });
  });

  test('devices may be left out, with their other names', () => {
    const device = entry('dev', 'character', { device: [1, 3] });
    const admitted = run([device, hard('also', 'dev'), entry('f')], { ...strict, skipDevices: true });
    expect(admitted.map(({ kind }) => kind)).toEqual(['skip', 'skip', 'restore']);
  });

  test('the state of an earlier restore is left out', () => {
    const admitted = run([directory('.km-restore'), entry('.km-restore/journal'), entry('.km-restored')]);
    expect(admitted.map(({ kind }) => kind)).toEqual(['skip', 'skip', 'restore']);
  });

  test('what the gate admits, the writer writes within its root, for any row of entries', () => {
    const name = fc.constantFrom('a', 'b', 'a/a', 'a/b', 'b/a/c', '../x', '/x', 'a/../../x', '');
    const target = fc.constantFrom('a', 'b', '..', '/', '../outside', 'a/b', '.', '/tmp');
    const type = fc.constantFrom<EntryType>('file', 'directory', 'symlink', 'hardlink', 'fifo');
    const arbitrary = fc
      .record({ path: name, type, link: target })
      .map(({ path: at, type: kind, link: to }) => {
        const linked = kind === 'symlink' || kind === 'hardlink';
        return entry(at, kind, linked ? { link: to as ByteString } : {});
      });
    fc.assert(
      fc.property(fc.array(arbitrary, { maxLength: 12 }), (entries) => {
        const base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-gate-'));
        try {
          fs.mkdirSync(path.join(base, 'root'));
          fs.writeFileSync(path.join(base, 'outside'), 'untouched');
          writeAdmitted(entries, path.join(base, 'root'));
          expect(fs.readdirSync(base).sort()).toEqual(['outside', 'root']);
          expect(fs.readFileSync(path.join(base, 'outside'), 'utf8')).toBe('untouched');
          expect(fs.lstatSync(path.join(base, 'outside')).nlink).toBe(1);
        } finally {
          fs.rmSync(base, { recursive: true });
        }
      }),
      { numRuns: 150 },
    );
  });
});

/** As the staging does it, up to the first refusal: symlinks and hard links last. */
function writeAdmitted(entries: Entry[], root: string): void {
  const gate = new EntryGate(strict);
  using writer = new TreeWriter(root, { owner: false, warn: () => {} });
  const later: Entry[] = [];
  for (const each of entries) {
    let admission: Admission;
    try {
      admission = gate.admit(each);
    } catch (error) {
      expect(error).toMatchObject({ reason: 'RestoreRefused' });
      break;
    }
    if (admission.kind === 'skip') continue;
    for (const parent of admission.implied) writer.directory(parent);
    if (each.type === 'directory') writer.directory(each.path);
    else if (each.type === 'file') fs.closeSync(writer.create(each.path));
    else if (each.type === 'fifo') writer.fifo(each);
    else later.push(each);
  }
  for (const each of later) if (each.type === 'symlink') writer.symlink(each);
  for (const each of later) if (each.type === 'hardlink') writer.hardlink(each);
}

test('paths beyond PATH_MAX are written', () => {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-long-'));
  try {
    using writer = new TreeWriter(base, { owner: false, warn: () => {} });
    let at = '' as ByteString;
    for (let i = 0; i < 60; i++) {
      at = (at === '' ? 'd'.repeat(200) : `${at}/${'d'.repeat(200)}`) as ByteString;
      writer.directory(at);
    }
    const fd = writer.create(`${at}/file` as ByteString);
    fs.writeSync(fd, 'deep');
    fs.closeSync(fd);
    expect(at.length).toBeGreaterThan(12_000);
    expect(fs.readFileSync(toBuffer(writer.locate(`${at}/file` as ByteString)), 'utf8')).toBe('deep');
  } finally {
    fs.rmSync(base, { recursive: true });
  }
});

test('the writer never writes over or through what is there', () => {
  const base = fs.mkdtempSync(path.join(os.tmpdir(), 'km-over-'));
  try {
    fs.writeFileSync(path.join(base, 'f'), 'mine');
    fs.symlinkSync('elsewhere', path.join(base, 'l'));
    fs.symlinkSync('/tmp', path.join(base, 'd'));
    using writer = new TreeWriter(base, { owner: false, warn: () => {} });
    for (const name of ['f', 'l'].map(fromText)) {
      expect(() => writer.create(name)).toThrow(/already exists/);
      expect(() => writer.directory(name)).toThrow(/already exists/);
      expect(() => writer.symlink(link(name, 'x'))).toThrow(/already exists/);
      expect(() => writer.fifo(entry(name, 'fifo'))).toThrow(/already exists/);
    }
    expect(() => writer.directory(fromText('d'))).toThrow(/already exists/);
    expect(fs.readFileSync(path.join(base, 'f'), 'utf8')).toBe('mine');
    expect(fs.existsSync(path.join(base, 'elsewhere'))).toBe(false);
  } finally {
    fs.rmSync(base, { recursive: true });
  }
});

test.each([
  [{ bytes: 1000, inodes: 10 }, { bytes: 1000, inodes: 10 }, undefined],
  [{ bytes: 1001, inodes: 10 }, { bytes: 1000, inodes: 10 }, /needs about 1001 B .* 1000 B are free/],
  [{ bytes: 1000, inodes: 11 }, { bytes: 1000, inodes: 10 }, /needs 11 inodes.*10 are free/],
  [{ bytes: 1000, inodes: 11 }, { bytes: 1000, inodes: undefined }, undefined],
  [{ bytes: 1000, inodes: 11 }, { bytes: undefined, inodes: undefined }, undefined],
])('space %j of %j', (needed, free, lack) => {
  const answer = lackOfSpace(needed, free);
  if (lack) expect(answer).toMatch(lack);
  else expect(answer).toBeUndefined();
});

test('holes take no space', () => {
  const gate = new EntryGate(strict);
  gate.admit(entry('sparse', 'file', { size: 2 ** 40, extents: [[0, 4096]] }));
  expect(spaceNeeded(gate).bytes).toBe(8192);
});
