/** Numbers of tests. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** The numbers of a vitest JSON report; `undefined` when it is none. */
export function countsOfReport(report: unknown): Counts | undefined {
  if (report === null || typeof report !== 'object') return undefined;
  const number = (key: string): number => {
    const value = (report as Record<string, unknown>)[key];
    return typeof value === 'number' ? value : Number.NaN;
  };
  const counts = {
    passed: number('numPassedTests'),
    failed: number('numFailedTests'),
    skipped: number('numPendingTests') + number('numTodoTests'),
  };
  return Object.values(counts).some(Number.isNaN) ? undefined : counts;
}

/**
 * What a stage adds to the sum. A stage that failed without a failed test (a compiler error, a test file that
 * does not load, a global setup that threw) counts as one failure, so that no failure is lost.
 */
export function countsOfStage(ok: boolean, report: Counts | undefined): Counts {
  const counts = report ?? { passed: 0, failed: 0, skipped: 0 };
  return !ok && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
}

/** `N passed, N failed`, with `, N skipped` only when there are any. */
export function closingLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
