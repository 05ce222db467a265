/** Text for people and models. Names come from outside: escaped, they cannot forge a line or drive a terminal. */
import { printable } from '../log/printable.ts';

/** Joins lines, each escaped. */
export function lines(...all: readonly (string | undefined | readonly string[])[]): string {
  return all
    .flat()
    .filter((line) => line !== undefined)
    .map((line) => printable(line, Number.POSITIVE_INFINITY))
    .join('\n');
}

export function counted(count: number, noun: string, nouns = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : nouns}`;
}

/** What a person or a model can still take in. */
const MOST_LINES = 100;

/** The first lines, and how many more there are. */
export function firstOf(all: readonly string[]): string[] {
  if (all.length <= MOST_LINES) return [...all];
  return [...all.slice(0, MOST_LINES), `… and ${all.length - MOST_LINES} more`];
}
