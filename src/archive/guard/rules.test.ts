import { describe, expect, test } from 'vitest';
import { type GuardLimits, type Judged, judge, type Replaced } from './rules.ts';

const MIB = 1024 * 1024;
const before = { archive: 'km-backup-20260101T000000Z.tgz', files: 1000, sourceBytes: 10_000 };
const same = { files: 1000, sourceBytes: 10_000 };
const nothing: Replaced = { contentBefore: 0, compressedBefore: 0, contentAfter: 0, compressedAfter: 0 };

function rules(judged: Partial<Judged>, limits: GuardLimits = {}): string[] {
  const all = { before, after: same, changedFiles: 0, replaced: nothing, ...judged };
  return judge(all, limits).map(({ rule }) => rule);
}

describe('limits', () => {
  const limits = { maxShrinkPercent: 30, maxChangePercent: 50 };
  test.each<[string, Partial<Judged>, string[]]>([
    ['nothing changed', {}, []],
    ['grew', { after: { files: 5000, sourceBytes: 90_000 } }, []],
    ['shrank to the limit', { after: { files: 700, sourceBytes: 7000 } }, []],
    ['fewer files than the limit', { after: { files: 699, sourceBytes: 10_000 } }, ['shrink']],
    ['fewer bytes than the limit', { after: { files: 1000, sourceBytes: 6999 } }, ['shrink']],
    ['empty', { after: { files: 0, sourceBytes: 0 }, changedFiles: 1000 }, ['shrink', 'change']],
    ['changed to the limit', { changedFiles: 500 }, []],
    ['changed beyond the limit', { changedFiles: 501 }, ['change']],
    ['was empty before', { before: { archive: 'a', files: 0, sourceBytes: 0 } }, []],
  ])('%s', (_, judged, expected) => expect(rules(judged, limits)).toEqual(expected));

  test('without limits neither counts', () => {
    expect(rules({ after: { files: 0, sourceBytes: 0 }, changedFiles: 1000 })).toEqual([]);
    expect(rules({ after: { files: 0, sourceBytes: 0 } }, { maxChangePercent: 1 })).toEqual([]);
  });

  test('the message names numbers and limit, never rounded to the limit', () => {
    const judged = { before, after: { files: 699, sourceBytes: 10_000 }, changedFiles: 0, replaced: nothing };
    expect(judge({ ...judged, before: { ...before, files: 998_572 } }, limits)[0]!.message).toContain(
      '100% fewer files (699 instead of 998572)',
    );
    expect(judge(judged, limits)[0]!.message).toBe(
      'The source has 30.1% fewer files (699 instead of 1000) than km-backup-20260101T000000Z.tgz; the limit is 30%.',
    );
  });
});

describe('content that no longer compresses', () => {
  const replaced = (contentBefore: number, from: number, contentAfter: number, to: number): Replaced => ({
    contentBefore: contentBefore * MIB,
    compressedBefore: contentBefore * MIB * from,
    contentAfter: contentAfter * MIB,
    compressedAfter: contentAfter * MIB * to,
  });
  test.each<[string, Replaced, boolean]>([
    ['text that was encrypted', replaced(100, 0.3, 100, 1.001), true],
    ['a database that was encrypted', replaced(16, 0.7, 16, 0.99), true],
    ['text that changed', replaced(100, 0.3, 100, 0.31), false],
    ['photos that were exchanged', replaced(100, 0.99, 100, 1), false],
    ['photos that were added', replaced(1, 0.3, 500, 1), false],
    ['a log that was rotated and compressed', replaced(100, 0.1, 9, 1), false],
    ['little content', replaced(15, 0.3, 15, 1), false],
    ['much that went, for little that compresses badly', replaced(500, 0.3, 20, 1), false],
    ['half of it', replaced(100, 0.3, 50, 1), true],
    ['twice as much', replaced(100, 0.3, 200, 1), true],
    ['nothing', nothing, false],
  ])('%s', (_, given, expected) => {
    expect(rules({ replaced: given }, { maxChangePercent: 100 })).toEqual(expected ? ['compression'] : []);
  });
});
