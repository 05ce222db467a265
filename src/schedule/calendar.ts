const months = [
  { name: 'January', days: 31 },
  { name: 'February', days: 29 },
  { name: 'March', days: 31 },
  { name: 'April', days: 30 },
  { name: 'May', days: 31 },
  { name: 'June', days: 30 },
  { name: 'July', days: 31 },
  { name: 'August', days: 31 },
  { name: 'September', days: 30 },
  { name: 'October', days: 31 },
  { name: 'November', days: 30 },
  { name: 'December', days: 31 },
] as const;

/**
 * Why no year has any of these dates, as the end of a sentence; undefined if some year has one.
 *
 * @param monthNumbers 1 to 12, at least one.
 * @param days Days of the month, ascending, at least one.
 */
export function whyDateNeverComes(
  monthNumbers: readonly number[],
  days: readonly number[],
): string | undefined {
  const [day = 1] = days;
  const named = monthNumbers.map((number) => months[number - 1]!);
  if (named.some((month) => day <= month.days)) return undefined;
  return named.length === 1
    ? `${named[0]!.name} has no day ${day}`
    : `none of the months it names has a day ${day}`;
}
