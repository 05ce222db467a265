import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  archiveOfListKey,
  catalogKey,
  decodePart,
  encodePart,
  indexKey,
  listKey,
  manifestKey,
  packName,
  packsPrefix,
  seriesOfListKey,
  sweepKey,
  writerOfCatalog,
  writerOfPack,
} from './keys.ts';

const names = [
  '',
  '_',
  '~',
  '.',
  '..',
  '...',
  'a/b',
  'ü',
  '%2F',
  '~2F',
  'a b',
  '\u{1f600}',
  'a\nb',
  'x.list',
];

describe('parts of keys', () => {
  test.each(names)('%j is escaped reversibly', (name) => {
    const part = encodePart(name);
    expect(decodePart(part)).toBe(name);
    expect(part).toMatch(/^[A-Za-z0-9._~-]+$/);
    expect(['.', '..', '_']).not.toContain(part);
  });

  test('any text is, and no two become the same', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(decodePart(encodePart(a))).toBe(a);
        expect(encodePart(a) === encodePart(b)).toBe(a === b);
      }),
    );
  });
});

describe('series', () => {
  test.each(['', '_', 'ns/nightly', 'a//b', '/', '../..', 'ns/nightly/x.list'])('%j', (series) => {
    const key = listKey(series, 'km-backup-1.tgz');
    expect([seriesOfListKey(key), archiveOfListKey(key)]).toEqual([series, 'km-backup-1.tgz']);
    expect(key).not.toMatch(/(^|\/)\.{0,2}(\/|$)/);
    expect(writerOfCatalog(series, catalogKey(series, 'w1'))).toBe('w1');
  });

  test('only lists are taken for lists', () => {
    for (const key of [
      indexKey('s', 'a'),
      manifestKey('s', 'a', 1, true),
      catalogKey('s', 'w'),
      sweepKey('s', 'w'),
    ]) {
      expect(archiveOfListKey(key)).toBeUndefined();
    }
    expect(writerOfCatalog('s', catalogKey('s/t', 'w'))).toBeUndefined();
  });
});

test.each(['..', '.', '', '../../etc/cron.d/x', '/etc/passwd', 'a/b', 'a\0b'])(
  'a key that stands for the file name %j is not that of a list',
  (name) => {
    expect(archiveOfListKey(listKey('s', name))).toBeUndefined();
  },
);

test('a pack says who wrote it', () => {
  expect(writerOfPack(packsPrefix('a/b') + packName('1f', '00', true))).toBe('1f');
});
