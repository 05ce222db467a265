import { Command } from 'commander';
import {
  ArchiveError,
  ExitCode,
  lockDestination,
  type PruneOutcome,
  pruneUnderLock,
} from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { destinationOf } from '../../standalone/variables.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import { addLocationFlags, checkLocation, LOCATION_HELP, type LocationFlags } from './location-flags.ts';
import { digest, type RetentionFlags, retentionOf, wholeNumber } from './option-values.ts';
import { printJson, warn } from './output.ts';
import { addRetentionOptions } from './retention-options.ts';
import { table } from './table.ts';

interface Flags extends RetentionFlags, LocationFlags {
  destination?: string;
  series?: string;
  dryRun: boolean;
  json: boolean;
  expectPlan?: string;
  lockWait: number;
  takeOver: boolean;
  graceHours: number;
}

export function command(context: CliContext): Command {
  const prune = new Command('prune')
    .description('remove the archives, or the copies in a location, that no rule keeps')
    .argument('[location]', LOCATION_HELP)
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--series <name>', 'look only at this series (archives without a manifest belong to every one)')
    .option('--dry-run', 'show what would be removed and why; remove nothing', false)
    .option(
      '--expect-plan <digest>',
      'refuse when the plan (planDigest of --json) no longer has this digest',
      digest,
    )
    .option('--json', 'one JSON object', false)
    .option('--lock-wait <seconds>', 'wait this long for another run to end', wholeNumber, 0);
  return addLocationFlags(addRetentionOptions(prune))
    .option('--take-over', 'also copies and packs of other writers, which no longer write', false)
    .option('--grace-hours <hours>', 'how long a pack must be unused before it is deleted', wholeNumber, 24)
    .action((url: string | undefined, flags: Flags) => run(url, flags, context));
}

async function run(url: string | undefined, flags: Flags, context: CliContext): Promise<void> {
  const { signal } = context;
  const policy = retentionOf(flags);
  if (!policy) {
    throw new ArchiveError('Usage', 'No rule is given: pass --retention-limit, --keep-daily… or --max-age.');
  }
  if (url !== undefined) {
    checkLocation(url);
    if (flags.expectPlan !== undefined) {
      throw new ArchiveError('Usage', '--expect-plan is for the archives of a destination, not for copies.');
    }
    const { pruneLocation } = await import('./on-location.ts');
    return await pruneLocation(url, policy, flags.destination ?? destinationOf(context.env), flags, context);
  }
  const destination = existingDirectory(requiredDestination(context, flags.destination));
  using _lock = flags.dryRun ? undefined : await lockDestination(destination, flags.lockWait * 1000, signal);
  const outcome = pruneUnderLock({
    destination,
    series: flags.series,
    policy,
    now: new Date(),
    dryRun: flags.dryRun,
    expectPlan: flags.expectPlan,
  });
  if (flags.json) printJson(toJson(outcome, flags.dryRun));
  else process.stdout.write(toTable(outcome));
  for (const failure of outcome.failures) warn(`not removed: ${failure}`);
  if (outcome.failures.length > 0) context.exitCode = ExitCode.failure;
}

function toTable({ rows }: PruneOutcome): string {
  if (rows.length === 0) return 'No archives.\n';
  return table(
    ['ARCHIVE', 'SIZE', 'STATE', 'DECISION', 'WHY'],
    rows.map(({ name, keep, reasons, archive }) => [
      name,
      formatBytes(archive.sizeBytes),
      archive.class,
      keep ? 'keep' : 'remove',
      reasons.join('; '),
    ]),
    { STATE: { weight: 1 }, SIZE: { weight: 2 }, WHY: { least: 18 } },
  );
}

function toJson({ rows, planDigest, pruned, failures }: PruneOutcome, dryRun: boolean) {
  return {
    dryRun,
    planDigest,
    archives: rows.map(({ name, keep, reasons, archive }) => ({
      name,
      class: archive.class,
      problem: archive.problem ?? null,
      sizeBytes: archive.sizeBytes,
      keep,
      reasons,
    })),
    removed: dryRun ? [] : pruned,
    failures,
  };
}
