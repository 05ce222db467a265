import type { Command } from 'commander';
import { durationMs, integer } from './option-values.ts';

export function addRetentionOptions(command: Command): Command {
  return command
    .option('--retention-limit <n>', 'keep the newest n archives; 0: this rule removes none', integer)
    .option('--keep-daily <n>', 'keep the newest archive of each of the last n days that have one', integer)
    .option('--keep-weekly <n>', 'the same for ISO weeks', integer)
    .option('--keep-monthly <n>', 'the same for months', integer)
    .option('--keep-yearly <n>', 'the same for years', integer)
    .option('--max-age <duration>', 'remove what is older, within the limit too, such as 90d', durationMs);
}
