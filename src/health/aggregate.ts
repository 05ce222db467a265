import type { BackupCheck, CheckStatus } from './backup-check.ts';

const worstFirst: readonly CheckStatus[] = ['error', 'unknown', 'stopped', 'pending', 'ok', 'disabled'];

/** At most this many schedules are listed, the worst first; `counts` covers all. */
export const MAX_LISTED = 100;

export interface AggregateCheck extends BackupCheck {
  counts: Partial<Record<CheckStatus, number>>;
  /** By `namespace/name`. */
  schedules: Record<string, BackupCheck>;
}

function rank(check: BackupCheck): number {
  return worstFirst.indexOf(check.status);
}

/**
 * One check for many schedules. It shows the worst status, with the fields of the most recent schedule that has it.
 * Without schedules it is `disabled`.
 *
 * @param checks By `namespace/name`.
 */
export function aggregateChecks(checks: ReadonlyMap<string, BackupCheck>): AggregateCheck {
  const time = (check: BackupCheck) => check.last_failure ?? check.last_success ?? '';
  const sorted = [...checks].sort(
    ([nameA, a], [nameB, b]) =>
      rank(a) - rank(b) || (time(a) < time(b) ? 1 : time(a) > time(b) ? -1 : nameA < nameB ? -1 : 1),
  );
  const counts: AggregateCheck['counts'] = {};
  for (const [, { status }] of sorted) counts[status] = (counts[status] ?? 0) + 1;
  const [worst] = sorted;
  const head: BackupCheck = worst ? { ...worst[1] } : { status: 'disabled' };
  if (worst && head.error !== undefined) head.error = `${worst[0]}: ${head.error}`;
  return { ...head, counts, schedules: Object.fromEntries(sorted.slice(0, MAX_LISTED)) };
}
