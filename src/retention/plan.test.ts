import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ArchiveClass, planRetention, type RetentionArchive, type RetentionPolicy } from './plan.ts';

const NOW = Date.parse('2026-11-23T12:00:00Z');
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** `2026-11-20T10 complete` makes an archive named after its time. */
function archive(text: string): RetentionArchive {
  const [time, kind] = text.split(' ') as [string, ArchiveClass | undefined];
  return {
    name: time,
    timestampMs: Date.parse(`${time}${time.length === 10 ? 'T00' : ''}:00:00Z`),
    class: kind ?? 'complete',
    sizeBytes: 1,
  };
}

function kept(archives: readonly RetentionArchive[], policy: RetentionPolicy, now = NOW): string[] {
  return planRetention(archives, policy, now)
    .filter((decision) => decision.keep)
    .map((decision) => decision.name);
}

function removed(texts: string[], policy: RetentionPolicy): string[] {
  return planRetention(texts.map(archive), policy, NOW)
    .filter((decision) => !decision.keep)
    .map((decision) => decision.name);
}

describe('limit', () => {
  const four = ['2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23'];
  test.each([
    [3, ['2026-11-20']],
    [1, ['2026-11-22', '2026-11-21', '2026-11-20']],
    [4, []],
    [2.9, ['2026-11-21', '2026-11-20']],
    [0, []],
    [-1, []],
    [Number.NaN, []],
    [Number.NEGATIVE_INFINITY, []],
    [1e308, []],
    [Number.POSITIVE_INFINITY, []],
  ])('%d', (limit, expected) => {
    expect(removed(four, { limit })).toEqual(expected);
  });

  test('the order of the input does not matter, the time in the name does', () => {
    expect(removed(four.toReversed(), { limit: 3 })).toEqual(['2026-11-20']);
  });
});

describe('classes', () => {
  test.each([
    {
      name: 'corrupt ones neither count nor go',
      archives: ['2026-11-20', '2026-11-21', '2026-11-22 corrupt', '2026-11-23 corrupt'],
      gone: [],
    },
    {
      name: 'unverified ones count',
      archives: ['2026-11-20', '2026-11-21 unverified', '2026-11-22 unverified', '2026-11-23'],
      gone: ['2026-11-21', '2026-11-20'],
    },
    {
      name: 'the newest complete one stays behind newer unverified ones',
      archives: ['2026-11-19', '2026-11-20', '2026-11-21 unverified', '2026-11-22 unverified'],
      gone: ['2026-11-19'],
    },
    {
      name: 'incomplete ones push no complete one out',
      archives: ['2026-11-19', '2026-11-20', '2026-11-21 incomplete', '2026-11-22 incomplete'],
      gone: [],
    },
    {
      name: 'of incomplete ones no more than the limit stay',
      archives: ['2026-11-19', '2026-11-20 incomplete', '2026-11-21 incomplete', '2026-11-22 incomplete'],
      gone: ['2026-11-20'],
    },
    {
      name: 'an incomplete one older than every counted one goes',
      archives: ['2026-11-19 incomplete', '2026-11-20', '2026-11-21', '2026-11-22 incomplete'],
      gone: ['2026-11-19'],
    },
    {
      name: 'an incomplete one between counted ones stays',
      archives: ['2026-11-20', '2026-11-21 incomplete', '2026-11-22'],
      gone: [],
    },
  ])('limit 2: $name', ({ archives, gone }) => {
    expect(removed(archives, { limit: 2 })).toEqual(gone);
  });

  test('a name without a time stays and does not count', () => {
    const unnamed: RetentionArchive = { name: 'x', timestampMs: null, class: 'unverified', sizeBytes: 1 };
    expect(kept([unnamed, archive('2026-11-20'), archive('2026-11-21')], { limit: 1 })).toEqual([
      '2026-11-21',
      'x',
    ]);
  });
});

describe('periods', () => {
  const hourly = Array.from({ length: 24 * 20 }, (_, index) =>
    new Date(NOW - index * HOUR).toISOString().slice(0, 13),
  );
  test('daily keeps the newest of each day that has one', () => {
    const archives = [...hourly.slice(0, 30), '2026-11-01T05', '2026-11-01T04', '2026-10-01T00'].map(archive);
    expect(kept(archives, { limit: 0, keepDaily: 3 })).toEqual([
      '2026-11-23T12',
      '2026-11-22T23',
      '2026-11-01T05',
    ]);
  });
  test.each([
    ['keepWeekly', 3, ['2026-11-23T12', '2026-11-22T23', '2026-11-15T23']],
    ['keepMonthly', 2, ['2026-11-23T12']],
    ['keepYearly', 2, ['2026-11-23T12']],
  ] as const)('%s %i', (rule, number, expected) => {
    expect(kept(hourly.map(archive), { limit: 0, [rule]: number })).toEqual(expected);
  });
  test('weeks are those of ISO 8601 over the turn of a year', () => {
    const archives = ['2026-12-28', '2026-12-31', '2027-01-03', '2027-01-04'].map(archive);
    const decisions = planRetention(archives, { limit: 0, keepWeekly: 9 }, Date.parse('2027-02-01'));
    expect(decisions.map(({ keep, reasons }) => [keep, reasons.at(-1)])).toEqual([
      [true, 'weekly 9: newest of 2027-W01'],
      [true, 'weekly 9: newest of 2026-W53'],
      [false, 'kept by no rule'],
      [false, 'kept by no rule'],
    ]);
  });
  test('rules add up', () => {
    expect(kept(hourly.map(archive), { limit: 2, keepDaily: 2, keepWeekly: 2 })).toEqual([
      '2026-11-23T12',
      '2026-11-23T11',
      '2026-11-22T23',
    ]);
  });
  test('a day without a good archive keeps its newest incomplete one, beside the good ones', () => {
    const archives = [
      '2026-11-20',
      '2026-11-21T01 incomplete',
      '2026-11-21T02 incomplete',
      '2026-11-22T01 incomplete',
      '2026-11-22T02',
      '2026-11-23',
      '2026-11-19 incomplete',
    ].map(archive);
    expect(kept(archives, { limit: 0, keepDaily: 3 })).toEqual([
      '2026-11-23',
      '2026-11-22T02',
      '2026-11-21T02',
      '2026-11-20',
    ]);
  });
});

describe('age', () => {
  const texts = ['2026-10-01', '2026-10-20', '2026-11-01', '2026-11-20'];
  test('alone it removes what is older', () => {
    expect(removed(texts, { limit: 0, maxAgeMs: 30 * DAY })).toEqual(['2026-10-20', '2026-10-01']);
  });
  test('never the newest complete one', () => {
    expect(removed(texts, { limit: 0, maxAgeMs: HOUR })).toEqual(['2026-11-01', '2026-10-20', '2026-10-01']);
  });
  test('what is older goes though it is within the limit', () => {
    expect(removed(texts, { limit: 4, maxAgeMs: 30 * DAY })).toEqual(['2026-10-20', '2026-10-01']);
  });
  test('what a period keeps stays', () => {
    expect(removed(texts, { limit: 4, keepMonthly: 2, maxAgeMs: 30 * DAY })).toEqual(['2026-10-01']);
  });
  test('the boundary belongs to the young', () => {
    const archives = [archive('2026-11-21'), archive('2026-11-22')];
    const now = archives[0]!.timestampMs! + DAY;
    expect(kept(archives, { limit: 0, maxAgeMs: DAY }, now)).toHaveLength(2);
    expect(kept(archives, { limit: 0, maxAgeMs: DAY }, now + 1)).toEqual(['2026-11-22']);
  });
});

describe('a clock set back', () => {
  test('names of the future stay and push nothing out', () => {
    const archives = ['2027-03-01', '2027-03-02', '2026-11-21', '2026-11-22', '2026-11-23'].map(archive);
    expect(kept(archives, { limit: 2 })).toEqual(['2027-03-02', '2027-03-01', '2026-11-23', '2026-11-22']);
  });
});

test('every decision gives its reasons', () => {
  const archives = ['2026-11-20', '2026-11-21', '2026-11-22 corrupt', '2027-01-01'].map(archive);
  expect(planRetention(archives, { limit: 1 }, NOW)).toEqual([
    {
      name: '2027-01-01',
      keep: true,
      reasons: ['newest complete archive', 'dated in the future: not counted'],
    },
    { name: '2026-11-22', keep: true, reasons: ['corrupt: not counted, left for you to inspect and remove'] },
    { name: '2026-11-21', keep: true, reasons: ['newest complete archive', 'limit 1: number 1'] },
    { name: '2026-11-20', keep: false, reasons: ['kept by no rule'] },
  ]);
});

describe('properties', () => {
  const classes = fc.constantFrom<ArchiveClass>('complete', 'incomplete', 'unverified', 'corrupt');
  const anyArchives = fc
    .uniqueArray(
      fc.record({
        offset: fc.integer({ min: -3 * 24, max: 800 * 24 }),
        class: classes,
      }),
      { maxLength: 40, selector: ({ offset }) => offset },
    )
    .map((list) =>
      list.map(
        ({ offset, class: kind }): RetentionArchive => ({
          name: new Date(NOW - offset * HOUR).toISOString(),
          timestampMs: NOW - offset * HOUR,
          class: kind,
          sizeBytes: 1,
        }),
      ),
    );
  const someNumber = fc.oneof(
    fc.integer({ min: -3, max: 12 }),
    fc.constantFrom(0, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, Number.NaN),
  );
  const anyPolicy: fc.Arbitrary<RetentionPolicy> = fc.record({
    limit: someNumber,
    keepDaily: fc.option(someNumber, { nil: undefined }),
    keepWeekly: fc.option(someNumber, { nil: undefined }),
    keepMonthly: fc.option(someNumber, { nil: undefined }),
    keepYearly: fc.option(someNumber, { nil: undefined }),
    maxAgeMs: fc.option(fc.integer({ min: -DAY, max: 900 * DAY }), { nil: undefined }),
  });
  const newestComplete = (archives: readonly RetentionArchive[], now = Number.POSITIVE_INFINITY) =>
    archives
      .filter((each) => each.class === 'complete' && each.timestampMs! <= now)
      .sort((a, b) => b.timestampMs! - a.timestampMs!)[0];

  test('each archive is decided once, and the newest complete one stays', () => {
    fc.assert(
      fc.property(anyArchives, anyPolicy, (archives, policy) => {
        const names = kept(archives, policy);
        expect(
          planRetention(archives, policy, NOW)
            .map(({ name }) => name)
            .sort(),
        ).toEqual(archives.map(({ name }) => name).sort());
        for (const best of [newestComplete(archives), newestComplete(archives, NOW)])
          if (best) expect(names).toContain(best.name);
        for (const bad of archives.filter((each) => each.class === 'corrupt'))
          expect(names).toContain(bad.name);
        if (archives.length > 0) expect(names.length).toBeGreaterThan(0);
      }),
    );
  });

  test('incomplete, corrupt and future archives change nothing for the good ones', () => {
    fc.assert(
      fc.property(anyArchives, anyPolicy, (archives, policy) => {
        const good = archives.filter(
          (each) => (each.class === 'complete' || each.class === 'unverified') && each.timestampMs! <= NOW,
        );
        const among = new Set(kept(archives, policy));
        const alone = new Set(kept(good, policy));
        expect(good.filter((each) => alone.has(each.name) && !among.has(each.name))).toEqual([]);
      }),
    );
  });

  test('what was pruned once is settled: a second pass removes nothing', () => {
    fc.assert(
      fc.property(anyArchives, anyPolicy, (archives, policy) => {
        const names = new Set(kept(archives, policy));
        const left = archives.filter((each) => names.has(each.name));
        expect(kept(left, policy)).toHaveLength(left.length);
      }),
    );
  });

  test('a more generous policy keeps at least as much', () => {
    fc.assert(
      fc.property(
        anyArchives,
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 0, max: 20 }),
        fc.integer({ min: 0, max: 9 }),
        (archives, limit, keepDaily, more) => {
          const small = kept(archives, { limit, keepDaily });
          const large = new Set(kept(archives, { limit: limit + more, keepDaily: keepDaily + more }));
          expect(small.filter((name) => !large.has(name) && goodName(archives, name))).toEqual([]);
        },
      ),
    );
  });

  test('any history of runs and prunes keeps the newest complete archive and, with a limit, that many', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(classes, fc.integer({ min: 1, max: 50 })), { maxLength: 60 }),
        fc.integer({ min: 1, max: 6 }),
        (runs, limit) => {
          let present: RetentionArchive[] = [];
          let now = NOW;
          let completes = 0;
          for (const [kind, hours] of runs) {
            now += hours * HOUR;
            present.push({ name: new Date(now).toISOString(), timestampMs: now, class: kind, sizeBytes: 1 });
            if (kind === 'complete') completes += 1;
            // Retention runs after a success only.
            if (kind !== 'complete') continue;
            const best = newestComplete(present)!;
            const names = new Set(kept(present, { limit }, now));
            present = present.filter((each) => names.has(each.name));
            expect(present).toContain(best);
            const good = present.filter((each) => each.class === 'complete' || each.class === 'unverified');
            expect(good.length).toBeGreaterThanOrEqual(Math.min(limit, completes));
            expect(good.length).toBeLessThanOrEqual(limit);
            expect(present.filter((each) => each.class === 'incomplete').length).toBeLessThanOrEqual(limit);
          }
        },
      ),
    );
  });
});

function goodName(archives: readonly RetentionArchive[], name: string): boolean {
  const found = archives.find((each) => each.name === name)!;
  return found.class === 'complete' || found.class === 'unverified';
}

describe('suspicious archives', () => {
  const four = ['2026-11-20', '2026-11-21', '2026-11-22', '2026-11-23'].map(archive);
  test.each([0, 1, 2, 3])('nothing is removed while number %d is suspicious', (index) => {
    const marked = four.map((each, at) => ({ ...each, isSuspicious: at === index }));
    const rows = planRetention(marked, { limit: 1, maxAgeMs: DAY }, NOW);
    expect(rows.every(({ keep }) => keep)).toBe(true);
    expect(rows.map(({ reasons }) => reasons.join())).toContain(
      'suspicious and not approved: nothing is removed',
    );
    expect(rows.filter(({ reasons }) => reasons.join().startsWith(four[index]!.name))).toHaveLength(3);
  });
});
