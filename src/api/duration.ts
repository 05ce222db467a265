import { z } from 'zod';
import { rules } from './schema.ts';

/** `90s`, `15m`, `24h`, `7d`: a whole number of seconds, minutes, hours or days. */
export const Duration = z
  .string()
  .max(16)
  .meta(
    rules({
      rule: "self.matches('^(0|[1-9][0-9]{0,6}[smhd])$')",
      message: 'must be a whole number of seconds, minutes, hours or days: "90s", "15m", "24h", "7d"',
    }),
  );

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds of a value that `Duration` admits. */
export function durationMs(text: string): number {
  const unit = text.at(-1) as keyof typeof unitMs;
  return text === '0' ? 0 : Number(text.slice(0, -1)) * unitMs[unit];
}
