import { formatBytes, formatSeconds } from '../../log/units.ts';

/** How far a command has come. */
export interface Measure {
  /** What is being done, if a run has several phases. */
  readonly phase?: string | undefined;
  readonly count: number;
  readonly ofCount?: number | undefined;
  /** What is counted, in the plural. */
  readonly noun: string;
  /** Undefined if only the count is known. */
  readonly bytes?: number | undefined;
  readonly ofBytes?: number | undefined;
}

/** A rate over less time means nothing. */
const LEAST_SECONDS = 0.3;

/**
 * One line that fits the terminal. The least important parts are left out if there is not enough room. Without a total
 * there is no bar, only counts and the rate.
 * @param seconds Since this phase began.
 * @param columns Width of the terminal.
 */
export function barLine(measure: Measure, seconds: number, columns: number): string {
  const { phase, count, ofCount, noun, bytes, ofBytes } = measure;
  const [done, total] = bytes === undefined ? [count, ofCount] : [bytes, ofBytes];
  const rate = done / Math.max(seconds, 0.001);
  const known = total !== undefined && total > 0;
  // Once all is done, the rate would only fall while the run finishes its other work.
  const paced = done > 0 && seconds >= LEAST_SECONDS && !(known && done >= total);
  const share = known ? Math.min(1, done / total) : undefined;
  const left = known && paced ? `${formatSeconds((total - done) / rate)} left` : undefined;
  const parts: readonly Part[] = [
    { text: phase, weight: 3 },
    { text: `${ofCount === undefined ? count : `${count}/${ofCount}`} ${noun}`, weight: known ? 1 : 5 },
    { text: bytes === undefined ? undefined : amount(bytes, ofBytes), weight: 0 },
    { text: paced ? pace(rate, bytes !== undefined, noun) : undefined, weight: 2 },
    { text: known ? left : formatSeconds(seconds), weight: 4 },
  ];
  const bar = share === undefined ? '' : `${drawBar(share, columns)}  `;
  return `${bar}${fitting(parts, columns - 1 - bar.length)}`.slice(0, Math.max(0, columns - 1));
}

interface Part {
  readonly text: string | undefined;
  /** The part with the lowest weight is left out first. */
  readonly weight: number;
}

function fitting(parts: readonly Part[], room: number): string {
  let kept = parts.filter(({ text }) => text !== undefined);
  const text = () => kept.map((part) => part.text).join(', ');
  while (kept.length > 1 && text().length > room) {
    const least = Math.min(...kept.map(({ weight }) => weight));
    kept = kept.filter(({ weight }) => weight !== least);
  }
  return text();
}

function amount(bytes: number, ofBytes: number | undefined): string {
  return ofBytes ? `${formatBytes(bytes)} of ${formatBytes(ofBytes)}` : formatBytes(bytes);
}

function pace(rate: number, isBytes: boolean, noun: string): string {
  return isBytes ? `${formatBytes(Math.round(rate))}/s` : `${Math.round(rate)} ${noun}/s`;
}

/** The bar. Its width is fixed for a terminal, so the text after it does not move. */
function drawBar(share: number, columns: number): string {
  const width = columns >= 120 ? 40 : columns >= 60 ? 20 : 10;
  const filled = Math.floor(share * width);
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${String(Math.floor(100 * share)).padStart(3)}%`;
}
