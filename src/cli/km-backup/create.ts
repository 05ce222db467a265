import { Command, Option } from 'commander';
import type { RunResult } from '../../api/run-result.ts';
import {
  ArchiveError,
  type Compression,
  type ExitCode,
  guardWith,
  levels,
  type PackTotals,
  type RunOptions,
  runBackup,
} from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import {
  allowEmptyOf,
  type CliContext,
  DESTINATION_HELP,
  requiredDestination,
  requiredSource,
  SOURCE_HELP,
  warnOfVariables,
  withAdvice,
} from './context.ts';
import { addGuardOptions, type GuardFlags, guardLimits } from './guard-options.ts';
import { addNoticeOptions, type NoticeFlags, startNotices } from './notices.ts';
import { collect, type RetentionFlags, retentionOf, wholeNumber } from './option-values.ts';
import { printArchive, say, warn } from './output.ts';
import { addProgressOption, type Ending, type ProgressMode, startProgress } from './progress.ts';
import { checkResultFile, writeResult } from './result-file.ts';
import { addRetentionOptions } from './retention-options.ts';

interface Flags extends RetentionFlags, GuardFlags, NoticeFlags {
  source?: string;
  sourceVolume?: string;
  destination?: string;
  destinationVolume?: string;
  series?: string;
  compression: Compression;
  level?: number;
  exclude: string[];
  include: string[];
  full: boolean;
  allowEmpty: boolean;
  lockWait: number;
  progress: ProgressMode;
  resultFile?: string;
  approve: string[];
}

export function command(context: CliContext): Command {
  const create = new Command('create')
    .description('make an archive of a directory')
    .option('--source <dir>', SOURCE_HELP)
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--source-volume <dir>', 'refuse a source outside this directory, also through symbolic links')
    .option('--destination-volume <dir>', 'the same for the destination')
    .option('--series <name>', 'name of the archives that belong together, for reuse and retention')
    .addOption(
      new Option('--compression <kind>', 'gzip (.tgz) or zstd (.tar.zst)')
        .choices(['gzip', 'zstd'])
        .default('gzip'),
    )
    .option('--level <n>', 'compression level: gzip 1-12 (default 5), zstd 1-19 (default 3)', wholeNumber)
    .option('--exclude <pattern>', 'leave out what matches (.gitignore syntax); may be repeated', collect, [])
    .option('--include <pattern>', 'archive only what matches; may be repeated', collect, [])
    .option('--full', 'read every file; reuse nothing of the previous archive', false)
    .option('--allow-empty', 'accept a source without files (default: $KM_BACKUP_ALLOW_EMPTY)', false)
    .option('--lock-wait <seconds>', 'wait this long for another run to end', wholeNumber, 0)
    .option('--result-file <path>', 'write the result as JSON, at most 4,096 bytes')
    .option(
      '--approve <archive>',
      'approve a suspicious archive of the destination before retention is applied; may be repeated',
      collect,
      [],
    );
  addProgressOption(addNoticeOptions(addGuardOptions(addRetentionOptions(create))), 'json');
  return create.action((flags: Flags) => run(flags, context));
}

async function run(flags: Flags, context: CliContext): Promise<void> {
  const source = requiredSource(context, flags.source);
  const destination = requiredDestination(context, flags.destination);
  const { compression } = flags;
  const { min, max, standard } = levels[compression];
  const level = flags.level ?? standard;
  if (level < min || level > max) {
    throw new ArchiveError('Usage', `--level of ${compression} is ${min} to ${max}, not ${level}.`);
  }
  const limits = guardLimits(flags, context);
  await backUp(
    {
      source,
      sourceVolume: flags.sourceVolume,
      destination,
      destinationVolume: flags.destinationVolume,
      series: flags.series,
      compression,
      level,
      exclude: flags.exclude,
      include: flags.include,
      full: flags.full,
      allowEmpty: flags.allowEmpty || allowEmptyOf(context),
      lockWaitMs: flags.lockWait * 1000,
      retention: retentionOf(flags),
      guard: limits && guardWith(limits),
      approve: flags.approve,
      signal: context.signal,
      now: () => new Date(),
    },
    {
      resultFile: flags.resultFile,
      progress: flags.progress,
      notices: flags,
      // `km-backup serve` sets both by variables, so advice names variables.
      reader: flags.source === undefined && flags.destination === undefined ? 'environment' : 'shell',
    },
    context,
  );
}

export interface Reporting {
  readonly resultFile: string | undefined;
  readonly progress: ProgressMode;
  readonly notices?: NoticeFlags;
  /** Whether advice names flags or variables. */
  readonly reader: 'shell' | 'environment';
}

/** Runs a backup and reports it: the path on standard output as its last line, everything else on standard error. */
export async function backUp(options: RunOptions, reporting: Reporting, context: CliContext): Promise<void> {
  // With variables and a result file, the caller is `km-backup serve`, which has warned already.
  if (reporting.reader === 'shell' || reporting.resultFile === undefined) warnOfVariables(context);
  const { resultFile, progress, reader } = reporting;
  if (resultFile !== undefined) checkResultFile(resultFile);
  const series = options.series ?? options.source;
  const notices = reporting.notices && startNotices(reporting.notices, series, context.signal);
  const { result, exitCode } = await runWithProgress(options, progress, reporting.notices?.runId);
  context.exitCode = exitCode;
  reportRun(result, reader);
  if (resultFile !== undefined) writeResult(resultFile, result);
  await notices?.ended(result);
}

export function reportRun(result: RunResult, reader: Reporting['reader']): void {
  for (const sample of result.warnings.samples) warn(sample);
  // The message of any other outcome contains the notes.
  if (result.outcome === 'Succeeded') for (const note of result.notes ?? []) warn(note);
  if (result.outcome !== 'Succeeded') say(`km-backup: ${withAdvice(result.message, result.reason, reader)}`);
  if (result.archive) printArchive(result.archive.path);
}

/** The total is not known until the walk ends, and walking twice would be too slow, so the previous archive's total is used. */
type Packed = PackTotals & { readonly expectedBytes?: number | undefined };

async function runWithProgress(
  options: RunOptions,
  mode: ProgressMode,
  runId: string | undefined,
): Promise<{ result: RunResult; exitCode: ExitCode }> {
  const measure = ({ files, sourceBytes, expectedBytes }: Packed) => ({
    count: files,
    noun: 'files',
    bytes: sourceBytes,
    ofBytes: expectedBytes,
  });
  using progress = startProgress<Packed>({ mode, unwatched: 'json', measure, run: runId }, process.stderr);
  const run = await runBackup({
    ...options,
    progress: (totals, expectedBytes) => progress.update({ ...totals, expectedBytes }),
  });
  progress.end(endingOf(run.result));
  return run;
}

function endingOf({ archive, outcome, reason, warnings, pruned }: RunResult): Ending {
  if (!archive) return { fields: { outcome, reason } };
  const { name, sizeBytes, files, entries, sourceBytes, reusedBytes } = archive;
  const counts = { sizeBytes, entries, files, sourceBytes, reusedBytes };
  const ratio = sizeBytes > 0 ? sourceBytes / sizeBytes : 1;
  const reused = sizeBytes > 0 ? Math.floor((100 * reusedBytes) / sizeBytes) : 0;
  return {
    fields: {
      outcome,
      reason,
      archive: name,
      ...counts,
      warnings: warnings.count,
      pruned: pruned.count,
    },
    text: {
      done: `${files} files, ${formatBytes(sourceBytes)} -> ${formatBytes(sizeBytes)} (${ratio.toFixed(2)}:1, ${reused}% reused)`,
      bytes: sourceBytes,
      rest: `; ${warnings.count} warnings, ${pruned.count} removed`,
    },
  };
}
