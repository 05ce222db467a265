/** Calendar periods in UTC. Their labels sort in the order of time. */
export type Period = 'daily' | 'weekly' | 'monthly' | 'yearly';

const DAY_MS = 86_400_000;

/** ISO 8601: weeks start on Monday and belong to the year of their Thursday. */
function isoWeek(atMs: number): string {
  const day = Math.floor(atMs / DAY_MS);
  const thursday = new Date((day - ((day + 3) % 7) + 3) * DAY_MS);
  const year = thursday.getUTCFullYear();
  const week = Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY_MS)) + 1;
  return `${year}-W${String(week).padStart(2, '0')}`;
}

export function periodLabel(period: Period, atMs: number): string {
  const iso = new Date(atMs).toISOString();
  const lengths = { daily: 10, monthly: 7, yearly: 4 };
  return period === 'weekly' ? isoWeek(atMs) : iso.slice(0, lengths[period]);
}
