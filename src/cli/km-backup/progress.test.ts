import { describe, expect, test } from 'vitest';
import { type ProgressMode, startProgress, type Unwatched } from './progress.ts';
import { barLine, type Measure } from './progress-bar.ts';

const GIB = 1024 ** 3;
const half: Measure = {
  phase: 'unpacking',
  count: 10_000,
  ofCount: 20_000,
  noun: 'files',
  bytes: GIB,
  ofBytes: 2 * GIB,
};

describe('a bar', () => {
  test.each<[string, Measure, number, number, string]>([
    [
      'of 200 columns shows all',
      half,
      10,
      200,
      '████████████████████░░░░░░░░░░░░░░░░░░░░  50%  unpacking, 10000/20000 files, 1.00 GiB of 2.00 GiB, 102.4 MiB/s, 10 s left',
    ],
    [
      'of 80 leaves out the amount',
      half,
      10,
      80,
      '██████████░░░░░░░░░░  50%  unpacking, 10000/20000 files, 102.4 MiB/s, 10 s left',
    ],
    ['of 40 leaves out the rate too', half, 10, 40, '█████░░░░░  50%  unpacking, 10 s left'],
    ['of 30 leaves out the phase too', half, 10, 30, '█████░░░░░  50%  10 s left'],
    ['of 10 is cut', half, 10, 10, '█████░░░░'],
    ['of 0 is nothing', half, 10, 0, ''],
    [
      'at its start has no rate yet',
      { ...half, count: 1, bytes: 5 },
      0.1,
      80,
      '░░░░░░░░░░░░░░░░░░░░   0%  unpacking, 1/20000 files, 5 B of 2.00 GiB',
    ],
    [
      'never goes beyond its end',
      { noun: 'files', count: 5, bytes: 3 * GIB, ofBytes: 2 * GIB },
      1,
      80,
      '████████████████████ 100%  5 files, 3.00 GiB of 2.00 GiB',
    ],
    [
      'is full only when all is done',
      { noun: 'files', count: 999, ofCount: 1000 },
      10,
      80,
      '███████████████████░  99%  999/1000 files, 100 files/s, 0.0 s left',
    ],
    [
      'without a total has no bar',
      { noun: 'files', count: 7, bytes: 10 * 1024 },
      2,
      80,
      '7 files, 10.0 KiB, 5.00 KiB/s, 2.0 s',
    ],
    [
      'of a phase that counts nothing',
      { phase: 'syncing', noun: 'files', count: 9, ofCount: 9 },
      0,
      60,
      '████████████████████ 100%  syncing, 9/9 files',
    ],
    [
      'of hours',
      { noun: 'archives', count: 1, ofCount: 3, bytes: GIB, ofBytes: 10 * GIB },
      1200,
      80,
      '██░░░░░░░░░░░░░░░░░░  10%  1/3 archives, 873.8 KiB/s, 3 h 00 m left',
    ],
  ])('%s', (_, measure, seconds, columns, line) => {
    expect(barLine(measure, seconds, columns)).toBe(line);
    expect(line.length).toBeLessThanOrEqual(Math.max(0, columns - 1));
  });
});

interface State {
  readonly phase: string;
  readonly files: number;
}

/** What is written in the course of a run whose clock the test sets, in milliseconds. */
function told(mode: ProgressMode, unwatched: Unwatched, isTTY: boolean): string[] {
  const written: string[] = [];
  const write = (text: string) => written.push(text) > 0;
  let time = 5000;
  const progress = startProgress<State>(
    { mode, unwatched, measure: ({ phase, files }) => ({ phase, count: files, ofCount: 4, noun: 'files' }) },
    { write, isTTY, columns: 40 } as Parameters<typeof startProgress>[1],
    () => time,
  );
  for (const [at, phase, files] of [
    [5010, 'one', 1],
    [5050, 'one', 2],
    [6010, 'one', 3],
    [6050, 'two', 4],
    [11_049, 'two', 4],
    [11_050, 'two', 4],
  ] as const) {
    time = at;
    progress.update({ phase, files });
  }
  time = 13_000;
  progress.end({ fields: { outcome: 'done' }, text: { done: '4 files', bytes: 8192, rest: '; fine' } });
  progress[Symbol.dispose]();
  return written;
}

const json = [
  '{"event":"progress","seconds":0.01,"phase":"one","files":1}\n',
  '{"event":"progress","seconds":1.05,"phase":"two","files":4}\n',
  '{"event":"progress","seconds":6.05,"phase":"two","files":4}\n',
  '{"event":"finished","seconds":8,"outcome":"done"}\n',
];
const summary = ['4 files in 8.0 s, 1.00 KiB/s; fine\n'];
const bar = [
  '\r\u001b[K██░░░░░░░░  25%  one, 1/4 files',
  '\r\u001b[K███████░░░  75%  one, 0.3 s left',
  '\r\u001b[K██████████ 100%  two, 4/4 files',
  '\r\u001b[K██████████ 100%  two, 4/4 files',
  '\r\u001b[K',
  ...summary,
];

test.each<[ProgressMode, Unwatched, boolean, string[]]>([
  ['auto', 'json', true, bar],
  ['auto', 'summary', true, bar],
  ['bar', 'json', false, bar],
  ['auto', 'json', false, json],
  ['json', 'summary', true, json],
  ['auto', 'summary', false, summary],
  ['none', 'json', true, []],
])('%s, else %s; on a terminal: %s', (mode, unwatched, isTTY, expected) => {
  expect(told(mode, unwatched, isTTY)).toEqual(expected);
});
