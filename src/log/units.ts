/** Amounts for people. */

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

/** Two sizes that differ, so that they differ in words too: `12.3 MiB` and `11.9 MiB`, else the exact bytes. */
export function formatUnlike(one: number, other: number): [string, string] {
  const texts: [string, string] = [formatBytes(one), formatBytes(other)];
  return texts[0] === texts[1] ? [`${one} bytes`, `${other} bytes`] : texts;
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
