import { printable } from '../../log/printable.ts';
import { padText, textWidth } from '../../log/width.ts';

/** A table as text, with columns padded to their widest cell. Cells are escaped. */
export function table(head: readonly string[], raw: readonly (readonly string[])[]): string {
  const rows = raw.map((row) => row.map((cell) => printable(cell, Number.POSITIVE_INFINITY)));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => textWidth(row[column] ?? ''))),
  );
  return [head, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, column) => padText(cell, widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
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
