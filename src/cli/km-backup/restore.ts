import { Command, Option } from 'commander';
import type { RestoreResult } from '../../api/restore-result.ts';
import {
  ArchiveError,
  checkPlan,
  commitRestore,
  compilePatterns,
  discardRestore,
  membersNeeded,
  type PlanReport,
  planRestore,
  type RestoreOptions,
  type RestoreProgress,
  type RestoreReport,
  type ReuseWish,
  restore,
  restoreStatus,
  resumeRestore,
  rollbackRestore,
  type WantedCheck,
} from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { CliContext } from './context.ts';
import type { LocalView, Part } from './local-view.ts';
import { addAsOfFlag, addCopyFlags, type CopyFlags, checkLocation, isLocation } from './location-flags.ts';
import { whenUnlocked } from './lock-wait.ts';
import { collect, digest, wholeNumber } from './option-values.ts';
import { print, printJson, warn } from './output.ts';
import {
  addProgressOption,
  type Ending,
  type Progress,
  type ProgressMode,
  startProgress,
} from './progress.ts';
import {
  type Outcome,
  outcomeOf,
  outcomeOfError,
  planLines,
  planSentence,
  succeeded,
} from './restore-outcome.ts';
import { checkResultFile, writeRestoreResult } from './result-file.ts';

interface Flags extends CopyFlags {
  find: boolean;
  dryRun: boolean;
  plan: boolean;
  commit: boolean;
  rollback: boolean;
  resume: boolean;
  status: boolean;
  discard: boolean;
  stageOnly: boolean;
  id?: string;
  lockWait: number;
  expectManifest?: string;
  expectSha256?: string;
  expectPlan?: string;
  path: string[];
  reuse: ReuseWish;
  checkSqlite: string[];
  checkJson: string[];
  checkGzip: string[];
  resultFile?: string;
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
      '[options] ARCHIVE TARGET | --find LOCATION | --commit TARGET | --rollback TARGET | --resume TARGET | --discard TARGET | --status TARGET',
    )
    .argument(
      '<path...>',
      'ARCHIVE TARGET (ARCHIVE: a path, or a location), or TARGET alone with --commit, --rollback, --resume, --discard or --status, or a location alone with --find',
    )
    .addOption(
      new Option(
        '--find',
        'say which copy of a location would be restored, after checking its packs and the identity; touches no target',
      )
        .default(false)
        .conflicts(['plan', 'dryRun', 'stageOnly', 'commit', 'rollback', 'resume', 'discard', 'status']),
    )
    .addOption(
      new Option('--plan', 'show what would be added, changed and removed; change nothing')
        .default(false)
        .conflicts(['dryRun', 'stageOnly', 'commit']),
    )
    .option('--dry-run', 'check the archive, the space and the target, and change nothing', false)
    .addOption(
      new Option('--commit', 'delete the old state: at once after this restore, or of an earlier one')
        .default(false)
        .conflicts(['rollback', 'resume', 'discard', 'status']),
    )
    .addOption(new Option('--keep-old', 'keep the old state (the default)').conflicts(['commit']))
    .addOption(
      new Option('--rollback', 'swap the old state in again')
        .default(false)
        .conflicts(['resume', 'discard', 'status']),
    )
    .addOption(
      new Option('--resume', 'complete what an interrupted run began')
        .default(false)
        .conflicts(['discard', 'status']),
    )
    .addOption(
      new Option('--discard', 'remove what was staged and not swapped in')
        .default(false)
        .conflicts(['status']),
    )
    .option('--status', 'show what is unfinished or kept', false)
    .option(
      '--id <id>',
      'name of this request: repeated at any later time, it is completed, never done twice',
    )
    .option('--lock-wait <seconds>', 'wait this long for another run on the target to end', wholeNumber, 0)
    .addOption(
      new Option('--stage-only', 'end before the swap; the same --id again swaps in what was staged')
        .default(false)
        .conflicts(['dryRun', 'commit']),
    )
    .option('--expect-manifest <sha256>', 'refuse an archive whose manifest file has another SHA-256', digest)
    .option('--expect-sha256 <sha256>', 'refuse an archive file with another SHA-256', digest)
    .option('--expect-plan <digest>', 'refuse when the plan no longer has this digest', digest)
    .option('--path <path>', 'restore only this file or folder of the archive; may be repeated', collect, [])
    .option('--check-sqlite <pattern>', 'check SQLite files before the swap; may be repeated', collect, [])
    .option('--check-json <pattern>', 'check that JSON files parse; may be repeated', collect, [])
    .option('--check-gzip <pattern>', 'check that gzip files unpack; may be repeated', collect, [])
    .addOption(
      new Option('--reuse <how>', 'how to take over files that did not change since the backup')
        .choices(['auto', 'clone', 'link', 'off'])
        .default('auto'),
    )
    .option('--result-file <path>', 'write the result as JSON, at most 4,096 bytes')
    .option('--preserve-setid', 'keep setuid and setgid bits and capabilities of files', false)
    .option('--skip-devices', 'leave out device nodes instead of refusing the archive', false)
    .option('--ignore-writers', 'continue even if processes use the target', false)
    .option('--ignore-manifest', "rely on the archive's own checksums only", false)
    .option('--json', 'report as one line of JSON', false);
  addAsOfFlag(addCopyFlags(restoring)).option(
    '--work-dir <dir>',
    'where the archive is put meanwhile (default: $TMPDIR, else /tmp)',
  );
  return addProgressOption(restoring, 'summary').action((paths: string[], flags: Flags) =>
    run(paths, flags, context),
  );
}

async function run(paths: string[], flags: Flags, context: CliContext): Promise<void> {
  const { resultFile } = flags;
  if (resultFile !== undefined) checkResultFile(resultFile);
  const startedAt = new Date().toISOString();
  const write = (outcome: Outcome) => {
    if (resultFile === undefined) return;
    const finishedAt = new Date().toISOString();
    writeRestoreResult(resultFile, {
      version: 1,
      command: commandOf(paths, flags),
      startedAt,
      finishedAt,
      ...outcome,
    });
  };
  let outcome: Outcome;
  try {
    outcome = await carryOut(paths, flags, context);
  } catch (error) {
    write(outcomeOfError(error));
    throw error;
  }
  write(outcome);
}

async function carryOut(paths: readonly string[], flags: Flags, context: CliContext): Promise<Outcome> {
  const [first = ''] = paths;
  if (!flags.find) {
    return paths.length > 1 ? await toTarget(paths, flags, context) : await onTarget(first, flags, context);
  }
  checkLocation(first);
  if (paths.length > 1) throw new ArchiveError('Usage', '--find takes the location alone.');
  const { findCopy } = await import('./find-copy.ts');
  const outcome = await findCopy(first, flags, context);
  if (flags.json) printJson({ message: outcome.message, ...outcome.found });
  else print(outcome.message);
  return outcome;
}

function commandOf(paths: readonly string[], flags: Flags): RestoreResult['command'] {
  if (flags.find) return 'find';
  if (paths.length === 1) {
    const named = (['rollback', 'commit', 'discard', 'resume'] as const).find((name) => flags[name]);
    return named ?? 'restore';
  }
  if (flags.dryRun || flags.plan) return 'plan';
  return flags.stageOnly ? 'stage' : 'restore';
}

/** Restores an archive. */
async function toTarget(paths: readonly string[], flags: Flags, context: CliContext): Promise<Outcome> {
  const [archive = '', target = ''] = paths;
  if (paths.length > 2)
    throw new ArchiveError('Usage', `restore takes ARCHIVE and TARGET, not ${paths.length} paths.`);
  if (flags.rollback || flags.resume || flags.status || flags.discard) {
    throw new ArchiveError('Usage', '--rollback, --resume, --discard and --status take the TARGET alone.');
  }
  if (flags.stageOnly && flags.id === undefined) {
    throw new ArchiveError('Usage', '--stage-only needs --id, by which a later run goes on.');
  }
  const { expectManifest: manifestSha256, expectSha256: sha256 } = flags;
  using views = new DisposableStack();
  using progress = progressOf(flags.progress);
  let fetches = 0;
  const fetch = async () => {
    // Again only after a file changed while the first part was fetched.
    const part = fetches++ > 0 ? 'whole' : partOf(flags, options);
    const view = await fetchPart(archive, part, flags, context, progress);
    return views.use(view).archive;
  };
  const options: RestoreOptions = {
    archive,
    ...(isLocation(archive) && { fetch }),
    target,
    id: flags.id,
    pins: isLocation(archive) ? { manifestSha256 } : { manifestSha256, sha256 },
    expectPlan: flags.expectPlan,
    paths: flags.path,
    reuse: flags.reuse,
    checks: [
      ...checksOf('sqlite', flags.checkSqlite),
      ...checksOf('json', flags.checkJson),
      ...checksOf('gzip', flags.checkGzip),
    ],
    policy: { preserveSetid: flags.preserveSetid, skipDevices: flags.skipDevices },
    ignoreManifest: flags.ignoreManifest,
    ignoreWriters: flags.ignoreWriters,
    oldState: flags.commit ? 'remove' : 'keep',
    dryRun: flags.dryRun,
    stageOnly: flags.stageOnly,
    signal: context.signal,
    now: () => new Date(),
  };
  if (flags.plan) return await plan(options, flags);
  const attempt = () =>
    whenUnlocked(flags.lockWait, context.signal, () => restore({ ...options, progress: progress.update }));
  const report = await restoreAndTell(progress, attempt, (error) => {
    const isOfPart = error instanceof ArchiveError && error.reason === 'ArchiveCorrupt' && fetches === 1;
    return isOfPart && typeof partOf(flags, options) === 'function';
  });
  if ('warnings' in report) tellWarnings(report);
  const outcome = outcomeOf(report);
  if (flags.json) printJson(report);
  else print(outcome.message);
  return outcome;
}

/** What a restore reads of a copy; its archive's digest is compared with the list before anything is fetched. */
async function fetchPart(
  url: string,
  part: Part,
  flags: Flags,
  context: CliContext,
  progress: Progress<RestoreProgress>,
): Promise<LocalView> {
  const { chosenAt } = await import('./choose-copy.ts');
  const { LocalView: View } = await import('./local-view.ts');
  const copy = await chosenAt(url, flags, context);
  const { archive, sha256 } = copy.list;
  if (flags.expectSha256 !== undefined && flags.expectSha256 !== sha256) {
    throw new ArchiveError(
      'ArchiveReplaced',
      `refused: ${url}: ${archive} is not the archive that was asked for: its SHA-256 is ${sha256}, expected ${flags.expectSha256}. Nothing was changed.`,
    );
  }
  return await View.of(copy, part, {
    workDirectory: flags.workDir,
    // The digest of a plan covers it, too.
    isPinned: true,
    progress: (bytes, ofBytes) =>
      progress.update({ phase: 'fetching', files: 0, ofFiles: undefined, bytes, ofBytes }),
  });
}

function partOf({ plan: isPlan, dryRun, ignoreManifest, path: paths }: Flags, options: RestoreOptions): Part {
  if (ignoreManifest || dryRun) return 'whole';
  if (isPlan) return 'manifest';
  return paths.length > 0 ? paths : (archive) => membersNeeded(archive, options);
}

function checksOf(check: WantedCheck['check'], patterns: readonly string[]): WantedCheck[] {
  return patterns.map((pattern) => {
    const compiled = compilePatterns([pattern]);
    if (!compiled) throw new ArchiveError('Usage', `--check-${check} needs a pattern.`);
    return { check, pattern, matches: (file, isDirectory) => compiled.matches(file, isDirectory) };
  });
}

async function plan(options: RestoreOptions, { json, expectPlan }: Flags): Promise<Outcome> {
  const report = await planRestore(options);
  const { plan, warnings } = report;
  const outcome: Outcome = {
    ...succeeded('RestorePlanned', planSentence(report)),
    plan: { ...plan, samples: [...plan.samples] },
    warnings: { count: warnings.count, samples: [...warnings.samples] },
  };
  tellWarnings(report);
  if (json) printJson({ target: report.target, ...plan, warnings });
  else for (const line of planLines(report)) print(line);
  checkPlan(expectPlan, plan);
  return outcome;
}

function tellWarnings({ warnings, note }: Pick<PlanReport, 'warnings' | 'note'>): void {
  for (const sample of warnings.samples) warn(sample);
  const unseen = warnings.count - warnings.samples.length;
  if (unseen > 0) warn(`and ${unseen} more`);
  if (note !== undefined) warn(`checked by structure and checksums only, because ${note}`);
}

function progressOf(mode: ProgressMode): Progress<RestoreProgress> {
  const measure = (state: RestoreProgress) => ({
    phase: state.phase,
    count: state.files,
    ofCount: state.ofFiles,
    noun: 'files',
    bytes: state.bytes,
    ofBytes: state.ofBytes,
  });
  return startProgress<RestoreProgress>({ mode, unwatched: 'summary', measure }, process.stderr);
}

async function restoreAndTell(
  progress: Progress<RestoreProgress>,
  attempt: () => Promise<RestoreReport>,
  isWorthAnother: (error: unknown) => boolean,
): Promise<RestoreReport> {
  try {
    const report = await attempt().catch((error: unknown) => {
      // A failure before the swap has changed nothing.
      if (isWorthAnother(error)) return attempt();
      throw error;
    });
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

/** Finishes, undoes or describes an earlier restore. */
async function onTarget(target: string, flags: Flags, context: CliContext): Promise<Outcome> {
  const { signal } = context;
  const outcome = await whenUnlocked(flags.lockWait, signal, () => finish(target, flags, signal));
  if (flags.json) printJson({ target, message: outcome.message });
  else print(outcome.message);
  return outcome;
}

async function finish(target: string, flags: Flags, signal: AbortSignal): Promise<Outcome> {
  const { id, ignoreWriters } = flags;
  if (flags.status) return succeeded('RestoreDescribed', restoreStatus(target).text);
  if (flags.resume) return succeeded('RestoreResumed', await resumeRestore(target, { id, signal }));
  if (flags.rollback) {
    return succeeded('OldStateBack', await rollbackRestore(target, { id, ignoreWriters, signal }));
  }
  if (flags.discard) {
    return succeeded('StagingDiscarded', await discardRestore(target, { id, ignoreWriters, signal }));
  }
  if (flags.commit) return succeeded('OldStateRemoved', await commitRestore(target, { id, signal }));
  throw new ArchiveError('Usage', 'restore takes ARCHIVE and TARGET; see km-backup restore --help.');
}
