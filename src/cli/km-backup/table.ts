import { printable } from '../../log/printable.ts';

/** A table as text, with columns padded to their widest cell. Cells are escaped. */
export function table(head: readonly string[], raw: readonly (readonly string[])[]): string {
  const rows = raw.map((row) => row.map((cell) => printable(cell, Number.POSITIVE_INFINITY)));
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `12.3 MiB` */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`;
}

/** `4.2 s`, `3 m 07 s` */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  const rest = String(whole % 60).padStart(2, '0');
  return hours > 0 ? `${hours} h ${String(minutes).padStart(2, '0')} m` : `${minutes} m ${rest} s`;
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
