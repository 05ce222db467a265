import { Command } from 'commander';
import {
  ArchiveError,
  ExitCode,
  lockDestination,
  type PruneOutcome,
  pruneUnderLock,
} from '../../archive/index.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import { type RetentionFlags, retentionOf, wholeNumber } from './option-values.ts';
import { printJson, warn } from './output.ts';
import { addRetentionOptions } from './retention-options.ts';
import { formatBytes, table } from './table.ts';

interface Flags extends RetentionFlags {
  destination?: string;
  series?: string;
  dryRun: boolean;
  json: boolean;
  lockWait: number;
}

export function command(context: CliContext): Command {
  const prune = new Command('prune')
    .description('remove the archives that no rule keeps')
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--series <name>', 'the set of archives to look at (those without a manifest belong to each)')
    .option('--dry-run', 'show what would go and why; remove nothing', false)
    .option('--json', 'one JSON object', false)
    .option('--lock-wait <seconds>', 'wait this long for another run to end', wholeNumber, 0);
  return addRetentionOptions(prune).action((flags: Flags) => run(flags, context));
}

async function run(flags: Flags, context: CliContext): Promise<void> {
  const { signal } = context;
  const destination = existingDirectory(requiredDestination(context, flags.destination));
  const policy = retentionOf(flags);
  if (!policy) {
    throw new ArchiveError('Usage', 'No rule is given: pass --retention-limit, --keep-daily… or --max-age.');
  }
  using _lock = flags.dryRun ? undefined : await lockDestination(destination, flags.lockWait * 1000, signal);
  const outcome = pruneUnderLock({
    destination,
    series: flags.series,
    policy,
    now: new Date(),
    dryRun: flags.dryRun,
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
  );
}

function toJson({ rows, pruned, failures }: PruneOutcome, dryRun: boolean) {
  return {
    dryRun,
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
