/** The fields that say when something is due. */
import { z } from 'zod';
import { CRON_RULES } from './cron-pattern.ts';
import { rules } from './schema.ts';

export const Cron = z
  .string()
  .min(1)
  .max(256)
  .meta(rules(...CRON_RULES));

export const TimeZone = z
  .string()
  .min(1)
  .max(64)
  .meta(
    rules({
      rule: "self != 'Local' && self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$') && timestamp('2000-01-01T00:00:00Z').getFullYear(self) >= 1999",
      message: 'must be a time zone of the IANA database, such as "Europe/Berlin" or "Etc/UTC"',
    }),
  );
