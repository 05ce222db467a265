import { basename } from 'node:path';

/** Numbers of tests. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** The numbers of a vitest JSON report; undefined if the text is not one. */
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

/** A line for each failed test of a vitest JSON report: its file, its name and the first line of why. */
export function failuresOfReport(report: unknown): string[] {
  return recordsOf(report, 'testResults').flatMap((file) =>
    recordsOf(file, 'assertionResults')
      .filter(({ status }) => status === 'failed')
      .map(({ fullName, failureMessages }) => {
        const why = Array.isArray(failureMessages) ? String(failureMessages[0]).split('\n', 1)[0] : '';
        return `${basename(String(file['name']))}: ${fullName}: ${why}`;
      }),
  );
}

function recordsOf(value: unknown, key: string): Record<string, unknown>[] {
  const list = (value as Record<string, unknown> | null | undefined)?.[key];
  return Array.isArray(list) ? list : [];
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
