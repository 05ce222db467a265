import { Command, Option } from 'commander';
import {
  ArchiveError,
  commitRestore,
  type RestoreOptions,
  type RestoreProgress,
  type RestoreReport,
  restore,
  restoreStatus,
  resumeRestore,
  rollbackRestore,
} from '../../archive/index.ts';
import type { CliContext } from './context.ts';
import { addCopyFlags, type CopyFlags, isLocation } from './location-flags.ts';
import { print, printJson, warn } from './output.ts';
import { addProgressOption, type Ending, type ProgressMode, startProgress } from './progress.ts';
import { formatBytes } from './table.ts';

interface Flags extends CopyFlags {
  dryRun: boolean;
  commit: boolean;
  rollback: boolean;
  resume: boolean;
  status: boolean;
  id?: string;
  preserveSetid: boolean;
  skipDevices: boolean;
  ignoreWriters: boolean;
  ignoreManifest: boolean;
  json: boolean;
  progress: ProgressMode;
  workDir?: string;
}

export function command(context: CliContext): Command {
  const restoring = new Command('restore')
    .description(
      'replace a directory with the contents of an archive: verified and staged first, then swapped in; the old state is kept until --commit or --rollback',
    )
    .usage(
      '[options] ARCHIVE TARGET | --commit TARGET | --rollback TARGET | --resume TARGET | --status TARGET',
    )
    .argument(
      '<path...>',
      'ARCHIVE TARGET (ARCHIVE: a path, or a location), or TARGET alone with --commit, --rollback, --resume or --status',
    )
    .option('--dry-run', 'check the archive, the space and the target, and change nothing', false)
    .addOption(
      new Option('--commit', 'delete the old state: at once after this restore, or of an earlier one')
        .default(false)
        .conflicts(['rollback', 'resume', 'status']),
    )
    .addOption(new Option('--keep-old', 'keep the old state (the default)').conflicts(['commit']))
    .addOption(
      new Option('--rollback', 'swap the old state in again').default(false).conflicts(['resume', 'status']),
    )
    .addOption(
      new Option('--resume', 'complete what an interrupted run began').default(false).conflicts(['status']),
    )
    .option('--status', 'show what is unfinished or kept', false)
    .option('--id <id>', 'name of this request: repeated after a crash, it is completed, never done twice')
    .option('--preserve-setid', 'keep setuid and setgid bits and capabilities of files', false)
    .option('--skip-devices', 'leave out device nodes instead of refusing the archive', false)
    .option('--ignore-writers', 'continue even if processes use the target', false)
    .option('--ignore-manifest', "rely on the archive's own checksums only", false)
    .option('--json', 'report as one line of JSON', false);
  addCopyFlags(restoring).option(
    '--work-dir <dir>',
    'where the archive is put meanwhile (default: $TMPDIR, else /tmp)',
  );
  return addProgressOption(restoring, 'summary').action((paths: string[], flags: Flags) =>
    run(paths, flags, context),
  );
}

async function run(paths: string[], flags: Flags, context: CliContext): Promise<void> {
  const [first = '', second] = paths;
  if (paths.length > 2)
    throw new ArchiveError('Usage', `restore takes ARCHIVE and TARGET, not ${paths.length} paths.`);
  if (second === undefined) {
    const text = await onTarget(first, flags, context.signal);
    if (flags.json) printJson({ target: first, message: text });
    else print(text);
    return;
  }
  if (flags.rollback || flags.resume || flags.status) {
    throw new ArchiveError('Usage', '--rollback, --resume and --status take the TARGET alone.');
  }
  using view = isLocation(first)
    ? await (await import('./on-location.ts')).LocalView.whole(first, flags, context)
    : undefined;
  const report = await restoreAndTell(flags.progress, {
    archive: view?.archive ?? first,
    target: second,
    id: flags.id,
    policy: { preserveSetid: flags.preserveSetid, skipDevices: flags.skipDevices },
    ignoreManifest: flags.ignoreManifest,
    ignoreWriters: flags.ignoreWriters,
    oldState: flags.commit ? 'remove' : 'keep',
    dryRun: flags.dryRun,
    signal: context.signal,
    now: () => new Date(),
  });
  if ('warnings' in report) {
    for (const sample of report.warnings.samples) warn(sample);
    const unseen = report.warnings.count - report.warnings.samples.length;
    if (unseen > 0) warn(`and ${unseen} more`);
    if (report.note !== undefined) {
      warn(`checked by structure and checksums only, because ${report.note}`);
    }
  }
  if (flags.json) printJson(report);
  else print(sentence(report));
}

async function restoreAndTell(mode: ProgressMode, options: RestoreOptions): Promise<RestoreReport> {
  const measure = (state: RestoreProgress) => ({
    phase: state.phase,
    count: state.files,
    ofCount: state.ofFiles,
    noun: 'files',
    bytes: state.bytes,
    ofBytes: state.ofBytes,
  });
  using progress = startProgress<RestoreProgress>({ mode, unwatched: 'summary', measure }, process.stderr);
  try {
    const report = await restore({ ...options, progress: progress.update });
    progress.end(endingOf(report));
    return report;
  } catch (error) {
    const reason = error instanceof ArchiveError ? error.reason : 'Internal';
    progress.end({ fields: { outcome: 'failed', reason } });
    throw error;
  }
}

function endingOf(report: RestoreReport): Ending {
  const { outcome } = report;
  if (!('files' in report)) return { fields: { outcome } };
  const { entries, files, bytes, warnings } = report;
  return {
    fields: { outcome, entries, files, bytes, warnings: warnings.count },
    text: {
      done: `${files} files, ${formatBytes(bytes)}`,
      bytes,
      rest: `; ${warnings.count} warnings`,
    },
  };
}

async function onTarget(target: string, flags: Flags, signal: AbortSignal): Promise<string> {
  if (flags.status) return restoreStatus(target).text;
  if (flags.resume) return await resumeRestore(target, { signal });
  if (flags.rollback) return await rollbackRestore(target, { ignoreWriters: flags.ignoreWriters, signal });
  if (flags.commit) return await commitRestore(target, { signal });
  throw new ArchiveError('Usage', 'restore takes ARCHIVE and TARGET; see km-backup restore --help.');
}

function sentence(report: RestoreReport): string {
  const old =
    report.oldState === undefined
      ? ''
      : ` The old state is kept in ${report.oldState}; once all is well: km-backup restore --commit ${report.target} (or --rollback).`;
  switch (report.outcome) {
    case 'would-restore':
      return `${report.target}: can be restored: ${report.entries} entries, ${report.bytes} bytes, checked by ${report.against}. Nothing was changed.`;
    case 'restored': {
      const kept = report.archivesKept > 0 ? ` ${report.archivesKept} archive files in it were kept.` : '';
      return `Restored ${report.target}: ${report.entries} entries, ${report.bytes} bytes, checked by ${report.against}.${kept}${old}`;
    }
    case 'completed':
      return `Restored ${report.target}: completed what an interrupted run began.${old}`;
    case 'already-restored':
      return `${report.target}: this restore was already done.${old}`;
  }
}
