/** Command lines of the tools in this repository. A mistake is answered in words, with status 2, before any work. */
import { type ParseArgsConfig, parseArgs } from 'node:util';

/** A mistake in a command line. */
export class UsageError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T }>>['values'];

/**
 * The values of the flags. An unknown flag, a missing value or an argument ends the process.
 *
 * @param check Turns them into what the tool works with; a UsageError that it throws ends the process too.
 */
export function commandLine<T extends Options, R>(options: T, check: (values: Values<T>) => R): R {
  try {
    return check(parseValues(options, process.argv.slice(2)));
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    process.exit(2);
  }
}

/** @throws {UsageError} when a flag is unknown, a value is missing, or an argument is not a flag. */
export function parseValues<T extends Options>(options: T, args: readonly string[]): Values<T> {
  try {
    return parseArgs({ options, args: [...args] }).values as Values<T>;
  } catch (error) {
    const flags = Object.keys(options).map((name) => `--${name}`);
    const known = flags.length > 0 ? `Known flags: ${flags.join(', ')}.` : 'It takes no flags.';
    throw new UsageError(`${(error as Error).message.split('. To specify')[0]}. ${known}`);
  }
}

/**
 * The items of a comma-separated list.
 *
 * @throws {UsageError} when one is not in `known`, or none is given.
 */
export function chosen<T extends string>(flag: string, list: string, known: readonly T[]): T[] {
  const items = list.split(',').map((item) => item.trim());
  const unknown = items.filter((item) => !(known as readonly string[]).includes(item));
  if (unknown.length > 0) {
    const names = unknown.map((item) => `"${item}"`).join(', ');
    throw new UsageError(
      `${flag}: ${names} does not exist. Choose from ${known.join(', ')}, separated by commas.`,
    );
  }
  return known.filter((item) => items.includes(item));
}

/** @throws {UsageError} when the text is not a decimal number of at least `least`. */
export function numberOf(
  flag: string,
  text: string,
  { least, whole }: { least: number; whole: boolean },
): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && (!whole || Number.isSafeInteger(value))) return value;
  throw new UsageError(`${flag}: "${text}" is not a ${whole ? 'whole ' : ''}number of at least ${least}.`);
}
