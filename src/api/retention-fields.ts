import { z } from 'zod';
import { rules } from './schema.ts';

const int = (minimum: number, maximum: number) => z.int().min(minimum).max(maximum);

export const Retention = z
  .object({
    limit: int(0, 1_000_000).default(7).describe('How many of the newest archives to keep. 0 keeps all.'),
    keepDaily: int(0, 10_000).optional().describe('Keep the newest archive of each of this many days.'),
    keepWeekly: int(0, 10_000).optional().describe('Keep the newest archive of each of this many ISO weeks.'),
    keepMonthly: int(0, 10_000).optional().describe('Keep the newest archive of each of this many months.'),
    keepYearly: int(0, 10_000).optional().describe('Keep the newest archive of each of this many years.'),
    maxAge: z
      .string()
      .max(16)
      .optional()
      .meta(
        rules({
          rule: "self.matches('^[1-9][0-9]{0,6}[hdw]$')",
          message: 'must be a number of hours, days or weeks: "36h", "30d", "8w"',
        }),
      )
      .describe(
        'Remove archives older than this, even within the limit, unless keepDaily, keepWeekly, keepMonthly or keepYearly keeps them. The newest complete archive is always kept.',
      ),
  })
  .describe('Which archives to keep. Applied only after a run that succeeded.');
export type Retention = z.output<typeof Retention>;
