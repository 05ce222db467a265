/** Queries of links. Relative, and every value percent-encoded. */
import type { ScheduleOverview } from '../overview/index.ts';

/** `?a=b&c=d` of the fields that have a value; `.` without any, which is the page itself. */
export function query(fields: Readonly<Record<string, string | number | undefined>>): string {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '');
  if (entries.length === 0) return '';
  // `toWellFormed`: an unpaired surrogate cannot be encoded.
  return `?${entries
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value).toWellFormed())}`)
    .join('&')}`;
}

/** The page of a schedule. */
export const queryOf = ({ namespace, name }: Pick<ScheduleOverview, 'namespace' | 'name'>): string =>
  query({ namespace, schedule: name });
