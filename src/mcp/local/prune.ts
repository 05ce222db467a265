/** Retention in two steps: a plan, and its removal by digest. */
import { z } from 'zod';
import { lockDestination, type PruneOutcome, pruneUnderLock } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { RetentionPolicy } from '../../retention/index.ts';
import { counted, firstOf, lines } from '../text.ts';
import { defineDestructiveTool, defineTool, type Tool } from '../tool.ts';
import { ArchiveState } from './archives.ts';
import type { LocalSettings } from './settings.ts';

const period = (what: string) =>
  z.int().min(0).max(10_000).optional().describe(`Also keep the newest archive of each of this many ${what}`);

const Rules = z.strictObject({
  retentionLimit: z
    .int()
    .min(0)
    .max(1_000_000)
    .optional()
    .describe('Newest archives to keep; 0 keeps all. Default: KM_BACKUP_RETENTION_LIMIT, else 7'),
  keepDaily: period('days'),
  keepWeekly: period('ISO weeks'),
  keepMonthly: period('months'),
  keepYearly: period('years'),
  maxAgeDays: z.int().min(0).max(100_000).optional().describe('Remove what is older, within the limit too'),
  series: z.string().optional().describe('Only archives of this series'),
});
type Rules = z.infer<typeof Rules>;

const Decision = z.object({
  name: z.string(),
  state: ArchiveState,
  sizeBytes: z.int(),
  keep: z.boolean(),
  reasons: z.array(z.string()),
});

export function pruneTools(settings: LocalSettings): Tool[] {
  const { destination } = settings;
  const prune = (rules: Rules, dryRun: boolean, expectPlan?: string) =>
    pruneUnderLock({
      destination,
      series: rules.series,
      policy: policyOf(rules, settings.retentionLimit),
      now: settings.now(),
      dryRun,
      expectPlan,
    });
  return [
    defineTool({
      name: 'prune_plan',
      title: 'Plan the removal of old archives',
      description:
        'What retention would keep and remove, and why. Removes nothing. Its planDigest is what the tool prune needs.',
      effect: 'reads',
      input: Rules,
      output: z.object({
        destination: z.string(),
        planDigest: z.string(),
        remove: z.int(),
        removeBytes: z.int(),
        archives: z.array(Decision),
      }),
      run: async (rules) => {
        const outcome = prune(rules, true);
        const gone = outcome.rows.filter(({ keep }) => !keep);
        return {
          data: {
            destination,
            planDigest: outcome.planDigest,
            remove: gone.length,
            removeBytes: bytesOf(outcome),
            archives: outcome.rows.map(({ name, keep, reasons, archive }) => ({
              name,
              state: archive.class,
              sizeBytes: archive.sizeBytes,
              keep,
              reasons,
            })),
          },
          text: lines(planLines(destination, outcome), `planDigest: ${outcome.planDigest}`),
        };
      },
    }),
    defineDestructiveTool({
      name: 'prune',
      title: 'Remove old archives',
      description:
        'Removes the archives that prune_plan named. Takes the same rules and the planDigest, asks a person, and removes nothing if anything changed since the plan.',
      effect: 'destroys',
      input: Rules.extend({ planDigest: z.string().describe('From prune_plan with the same rules') }),
      output: z.object({
        destination: z.string(),
        removed: z.array(z.string()),
        failures: z.array(z.string()),
        left: z.int(),
      }),
      plan: async (rules) => {
        const outcome = prune(rules, true);
        return { digest: outcome.planDigest, text: lines(planLines(destination, outcome)) };
      },
      run: async ({ planDigest, ...rules }, { signal }) => {
        using _lock = await lockDestination(destination, 0, signal);
        const { pruned, failures, present } = prune(rules, false, planDigest);
        return {
          data: { destination, removed: pruned, failures, left: present.count },
          text: lines(
            `Removed ${counted(pruned.length, 'archive')} from ${destination}; ${counted(present.count, 'archive')} left.`,
            firstOf(pruned.map((name) => `removed ${name}`)),
            failures.map((failure) => `not removed: ${failure}`),
          ),
          failed: failures.length > 0,
        };
      },
    }),
  ];
}

function policyOf(rules: Rules, limit: number): RetentionPolicy {
  const { retentionLimit, keepDaily, keepWeekly, keepMonthly, keepYearly, maxAgeDays } = rules;
  return {
    limit: retentionLimit ?? limit,
    keepDaily,
    keepWeekly,
    keepMonthly,
    keepYearly,
    maxAgeMs: maxAgeDays === undefined ? undefined : maxAgeDays * 86_400_000,
  };
}

function bytesOf({ rows }: PruneOutcome): number {
  return rows.reduce((sum, { keep, archive }) => sum + (keep ? 0 : archive.sizeBytes), 0);
}

function planLines(destination: string, outcome: PruneOutcome): string[] {
  const gone = outcome.rows.filter(({ keep }) => !keep);
  const kept = outcome.rows.length - gone.length;
  return [
    `${destination}: remove ${counted(gone.length, 'archive')} (${formatBytes(bytesOf(outcome))}) and keep ${kept}. Removed archives cannot be brought back.`,
    ...firstOf(
      gone.map(({ name, archive, reasons }) => `remove ${name} (${archive.class}): ${reasons.join('; ')}`),
    ),
  ];
}
