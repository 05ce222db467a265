import { describe, expect, test } from 'vitest';
import type { ByteString } from '../format/byte-string.ts';
import type { Entry } from '../format/entry.ts';
import { compareEntries } from './compare.ts';
import { digest, file } from './testing/write-archive.ts';

const link = (target: string) => target as ByteString;

describe('compareEntries', () => {
  test.each<[string, Entry, Entry, object | undefined]>([
    ['nothing', file('a'), file('a'), undefined],
    [
      'ctime and inode, which no restore brings back',
      file('a'),
      file('a', { ctime: '5', ino: '8' }),
      undefined,
    ],
    ['content', file('a'), file('a', { sha256: digest(2) }), { change: 'changed', aspects: ['content'] }],
    [
      'content, size and time',
      file('a'),
      file('a', { sha256: digest(2), size: 2, mtime: '5' }),
      { change: 'changed', aspects: ['size', 'mtime'] },
    ],
    ['time', file('a'), file('a', { mtime: '5' }), { change: 'metadata', aspects: ['mtime'] }],
    [
      'time by a nanosecond',
      file('a', { mtime: '1700000000000000000' }),
      file('a', { mtime: '1700000000000000001' }),
      { change: 'metadata', aspects: ['mtime'] },
    ],
    [
      'mode and owner',
      file('a'),
      file('a', { mode: 0o600, gid: 3 }),
      { change: 'metadata', aspects: ['mode', 'owner'] },
    ],
    [
      'attributes',
      file('a', { xattrs: { 'user.a': 'MQ==' } }),
      file('a', { xattrs: { 'user.b': 'MQ==' } }),
      { change: 'metadata', aspects: ['xattrs'] },
    ],
    [
      'order of attributes',
      file('a', { xattrs: { 'user.a': 'MQ==', 'user.b': '' } }),
      file('a', { xattrs: { 'user.b': '', 'user.a': 'MQ==' } }),
      undefined,
    ],
    [
      'a file replaced by a folder',
      file('a'),
      file('a', { type: 'directory', size: 0 }),
      { change: 'changed', aspects: ['type'] },
    ],
    [
      'mtime of a folder',
      file('a', { type: 'directory' }),
      file('a', { type: 'directory', mtime: '5' }),
      undefined,
    ],
    [
      'text of a symlink',
      file('a', { type: 'symlink', link: link('x') }),
      file('a', { type: 'symlink', link: link('y') }),
      { change: 'metadata', aspects: ['link'] },
    ],
    [
      'numbers of a device',
      file('a', { type: 'block', device: [1, 2] }),
      file('a', { type: 'block', device: [1, 3] }),
      { change: 'metadata', aspects: ['device'] },
    ],
    [
      'a link that holds the content now, as its first name is gone',
      file('b', { type: 'hardlink', link: link('a'), size: 0 }),
      file('b'),
      { change: 'metadata', aspects: ['link'] },
    ],
    [
      'a link replaced by another file',
      file('b', { type: 'hardlink', link: link('a'), size: 0 }),
      file('b', { ino: '99' }),
      { change: 'changed', aspects: ['type'] },
    ],
    [
      'a link whose file was written, and that holds the content now',
      file('b', { type: 'hardlink', link: link('a'), size: 0 }),
      file('b', { mtime: '9' }),
      { change: 'changed', aspects: ['type'] },
    ],
  ])('%s', (_, before, after, expected) => {
    expect(compareEntries({ entry: before }, { entry: after }, false)).toEqual(expected);
  });

  const { sha256: _, ...large } = file('a', { parts: 2 });
  test.each<[string, object, object, object | undefined]>([
    ['same slices', { parts: 'x' }, { parts: 'x' }, undefined],
    ['other slices', { parts: 'x' }, { parts: 'y' }, { change: 'changed', aspects: ['content'] }],
  ])('large files: %s', (_name, before, after, expected) => {
    expect(compareEntries({ entry: large, ...before }, { entry: large, ...after }, false)).toEqual(expected);
  });

  test('slices of files with other holes say nothing, so the time decides', () => {
    const sparse = { ...large, extents: [[0, 1]] as const };
    expect(
      compareEntries({ entry: large, parts: 'x' }, { entry: sparse, parts: 'y' }, false),
    ).toBeUndefined();
    const later = { ...sparse, mtime: '9' };
    expect(compareEntries({ entry: large, parts: 'x' }, { entry: later, parts: 'y' }, false)).toEqual({
      change: 'changed',
      aspects: ['content', 'mtime'],
    });
  });

  test.each<[string, string, boolean, object | undefined]>([
    ['1700000000123456789', '1700000000000000000', true, undefined],
    ['1700000000123456789', '1700000000000000000', false, { change: 'metadata', aspects: ['mtime'] }],
    [
      '1700000000123456789',
      '1700000000123456000',
      true,
      { change: 'changed', aspects: ['content', 'mtime'] },
    ],
    ['-1', '-1000000000', true, undefined],
    ['-1', '0', true, { change: 'changed', aspects: ['content', 'mtime'] }],
  ])('times %s and %s, one without a manifest: %s', (before, after, byTime, expected) => {
    const { sha256: __, ...foreign } = file('a', { mtime: after });
    const recorded = byTime ? foreign : file('a', { mtime: after });
    expect(compareEntries({ entry: file('a', { mtime: before }) }, { entry: recorded }, byTime)).toEqual(
      expected,
    );
  });
});
