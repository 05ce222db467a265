import { statSync } from 'node:fs';
import { Command } from 'commander';
import {
  ArchiveError,
  ExitCode,
  listArchives,
  type Verification,
  type VerificationState,
  type VerifiedAgainst,
  verifyArchive,
} from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { CliContext } from './context.ts';
import { DESTINATION_HELP, existingDirectory, requiredDestination } from './context.ts';
import { addCopyFlags, type CopyFlags, isLocation, LOCATION_HELP } from './location-flags.ts';
import { print, printJson } from './output.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import type { Measure } from './progress-bar.ts';

interface Flags extends CopyFlags {
  all: boolean;
  deep: boolean;
  destination?: string;
  json: boolean;
  progress: ProgressMode;
}

const basis: Record<VerifiedAgainst, string> = {
  manifest: 'against its manifest',
  'manifest-deep': 'against its manifest, every header and content',
  structure: 'by structure and checksums only: it has no manifest',
};

export function command(context: CliContext): Command {
  const verify = new Command('verify')
    .description(
      'read archives and say whether they are sound (exit status 5 if one is damaged, 1 if one cannot be read)',
    )
    .argument('[archives...]', `paths of archives, or ${LOCATION_HELP}`)
    .option('--all', 'every archive of the destination', false)
    .option('--deep', 'decompress, and compare every header and content', false)
    .option('--destination <dir>', DESTINATION_HELP)
    .option('--json', 'one JSON object a line', false);
  return addProgressOption(addCopyFlags(verify), 'summary').action((archives: string[], flags: Flags) =>
    run(archives, flags, context),
  );
}

async function run(archives: string[], flags: Flags, context: CliContext): Promise<void> {
  const { signal } = context;
  const [first] = archives;
  if (isLocation(first)) {
    if (archives.length > 1 || flags.all) {
      throw new ArchiveError(
        'Usage',
        'A location is verified alone: all its copies, or the one of --archive.',
      );
    }
    const { verifyLocation } = await import('./on-location.ts');
    return await verifyLocation(first, flags, context);
  }
  if (flags.all === archives.length > 0) {
    throw new ArchiveError('Usage', 'Name the archives to verify, or pass --all.');
  }
  const chosen = flags.all
    ? listArchives(existingDirectory(requiredDestination(context, flags.destination)))
    : archives.map((path) => ({ path, sizeBytes: sizeOf(path) }));
  const ofBytes = chosen.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  using progress = startProgress<VerifyProgress>(
    { mode: flags.progress, unwatched: 'summary', measure },
    process.stderr,
  );
  const counts: Record<VerificationState, number> = { sound: 0, damaged: 0, unreadable: 0, missing: 0 };
  let done = 0;
  let before = 0;
  for (const { path, sizeBytes } of chosen) {
    const update = (bytes: number) =>
      progress.update({ archives: done, ofArchives: chosen.length, bytes: before + bytes, ofBytes });
    update(0);
    const verification = await verifyArchive(path, { deep: flags.deep, signal, progress: update });
    progress.clear();
    if (flags.json) printJson(verification);
    else print(format(verification));
    done++;
    before += sizeBytes;
    counts[verification.state]++;
    context.exitCode = exitCodeOf(counts);
  }
  const { damaged, unreadable, missing } = counts;
  progress.end({
    fields: { archives: done, damaged, unreadable, missing, bytes: before },
    text: {
      done: `${done} ${done === 1 ? 'archive' : 'archives'}, ${formatBytes(before)}`,
      bytes: before,
      rest: `; ${damaged} damaged${unreadable > 0 ? `, ${unreadable} unreadable` : ''}${missing > 0 ? `, ${missing} missing` : ''}`,
    },
  });
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    // Verifying it will say why.
    return 0;
  }
}

function exitCodeOf({ damaged, unreadable, missing }: Record<VerificationState, number>): ExitCode {
  if (damaged > 0) return ExitCode.verification;
  return unreadable + missing > 0 ? ExitCode.failure : ExitCode.ok;
}

interface VerifyProgress {
  readonly archives: number;
  readonly ofArchives: number;
  readonly bytes: number;
  readonly ofBytes: number;
}

function measure({ archives, ofArchives, bytes, ofBytes }: VerifyProgress): Measure {
  return { count: archives, ofCount: ofArchives, noun: 'archives', bytes, ofBytes };
}

const words: Record<VerificationState, string> = {
  sound: 'ok  ',
  damaged: 'BAD ',
  unreadable: 'unreadable',
  missing: 'missing',
};

function format(verification: Verification): string {
  const { archive, state, against, entries, bytes, warnings, paddingBytes, problem } = verification;
  const checked = against === undefined ? '' : ` (checked ${basis[against]})`;
  if (problem !== undefined) {
    const text = problem.startsWith(archive) ? problem : `${archive}: ${problem}`;
    return `${words[state]} ${text}${checked}`;
  }
  const notes = [
    `checked ${basis[against!]}`,
    warnings > 0 ? `its run named ${warnings} file(s) as not captured faithfully` : '',
    paddingBytes > 0 ? `followed by ${formatBytes(paddingBytes)} of zeros, which do no harm` : '',
  ];
  return `${words[state]} ${archive}: ${entries} entries, ${formatBytes(bytes)} (${notes.filter(Boolean).join('; ')})`;
}
