import { type Column, fittedTable } from './fitted-table.ts';

/**
 * A table as text. On a terminal it fits: columns are left out, those with the lowest weight first, or cut.
 * @param fit By the title of a column. One without a weight is never left out.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  fit: Readonly<Record<string, Pick<Column, 'weight' | 'least'>>> = {},
): string {
  const columns = head.map((title, at) => ({
    title,
    cells: rows.map((row) => row[at] ?? ''),
    ...fit[title],
  }));
  const { isTTY, columns: room } = process.stdout;
  return fittedTable(columns, isTTY ? room || undefined : undefined);
}

/** Nanoseconds since the epoch as a time in UTC. One that a Date cannot hold becomes `@` and the seconds since the epoch, which `date` reads. */
export function formatTime(time: string): string {
  const nanoseconds = BigInt(time);
  const seconds = (nanoseconds - (((nanoseconds % NS) + NS) % NS)) / NS;
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) return `@${seconds}`;
  return date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replace('T', ' ');
}

const NS = 1_000_000_000n;
