import { describe, expect, it } from 'vitest';
import { closingLine, countsOfReport, countsOfStage, failuresOfReport } from '../../scripts/test-counts.ts';

describe('the sum of a test run', () => {
  it.each([
    [
      { numPassedTests: 3, numFailedTests: 1, numPendingTests: 2, numTodoTests: 1 },
      { passed: 3, failed: 1, skipped: 3 },
    ],
    [{ numPassedTests: 3 }, undefined],
    [null, undefined],
    ['text', undefined],
  ])('reads vitest report %j as %j', (report, counts) => {
    expect(countsOfReport(report)).toEqual(counts);
  });

  it.each([
    ['a stage that passed without tests of its own', true, undefined, { passed: 0, failed: 0, skipped: 0 }],
    ['a stage that failed without tests of its own', false, undefined, { passed: 0, failed: 1, skipped: 0 }],
    ['failed tests', false, { passed: 5, failed: 2, skipped: 0 }, { passed: 5, failed: 2, skipped: 0 }],
    [
      'a file that did not load',
      false,
      { passed: 5, failed: 0, skipped: 1 },
      { passed: 5, failed: 1, skipped: 1 },
    ],
  ])('counts %s', (_, ok, report, counts) => {
    expect(countsOfStage(ok, report)).toEqual(counts);
  });

  it('names the failed tests and why', () => {
    const assertionResults = [
      { status: 'passed', fullName: 'a', failureMessages: [] },
      { status: 'failed', fullName: 'b c', failureMessages: ['Error: x\n  at y'] },
    ];
    expect(failuresOfReport({ testResults: [{ name: '/r/src/a.test.ts', assertionResults }] })).toEqual([
      'a.test.ts: b c: Error: x',
    ]);
    expect(failuresOfReport(undefined)).toEqual([]);
    expect(failuresOfReport({ numPassedTests: 1 })).toEqual([]);
  });

  it('names skipped tests only when there are any', () => {
    expect(closingLine({ passed: 1, failed: 0, skipped: 0 })).toBe('1 passed, 0 failed');
    expect(closingLine({ passed: 1, failed: 0, skipped: 2 })).toBe('1 passed, 0 failed, 2 skipped');
  });
});
