import { InvalidArgumentError } from 'commander';

/** A whole number from 0. */
export function wholeNumber(value: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number))
    throw new InvalidArgumentError('a whole number is needed.');
  return number;
}
