/**
 * The grammar of `spec.cron` as one RE2 expression, so that the API server refuses what the operator
 * could not run. Ranges are checked field by field; dates that never come (`0 0 31 2 *`) are left to
 * the operator, which reports them in the Ready condition.
 */
function field(value: string): string {
  const range = `(?:${value})(?:-(?:${value}))?`;
  const hashed = 'H(?:\\([0-9]+-[0-9]+\\))?';
  const item = `(?:\\*|${hashed}|${range})(?:/[1-9][0-9]?)?`;
  return `${item}(?:,${item})*`;
}

const MINUTE = field('[0-5]?[0-9]');
const HOUR = field('[01]?[0-9]|2[0-3]');
const DAY_OF_MONTH = field('0?[1-9]|[12][0-9]|3[01]');
const MONTH = field('0?[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)');
const DAY_OF_WEEK = field('[0-7]|(?i:sun|mon|tue|wed|thu|fri|sat)');

/** RE2 source; JavaScript runs it too once the inline `(?i:…)` groups are known to the engine (Node 23+). */
export const CRON_PATTERN = `^(?:@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)|${[
  MINUTE,
  HOUR,
  DAY_OF_MONTH,
  MONTH,
  DAY_OF_WEEK,
].join(' +')})$`;
