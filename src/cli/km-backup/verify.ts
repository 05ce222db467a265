import { statSync } from 'node:fs';
import { Command } from 'commander';
import {
  ArchiveError,
  ExitCode,
  listArchives,
  type Verification,
  type VerifiedAgainst,
  verifyArchive,
} from '../../archive/index.ts';
import { destinationOf } from '../../standalone/variables.ts';
import type { CliContext } from './context.ts';
import { existingDirectory, required } from './context.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import type { Measure } from './progress-bar.ts';
import { formatBytes } from './table.ts';

interface Flags {
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
    .description('read archives and tell whether they are sound (exit status 5 where one is not)')
    .argument('[archives...]')
    .option('--all', 'every archive of the destination', false)
    .option('--deep', 'decompress, and compare every header and content', false)
    .option(
      '--destination <dir>',
      'directory of the archives (default: $KM_BACKUP_DEST, else $KM_BACKUP_DEST_PATH)',
    )
    .option('--json', 'one JSON object a line', false);
  return addProgressOption(verify, 'summary').action((archives: string[], flags: Flags) =>
    run(archives, flags, context),
  );
}

async function run(archives: string[], flags: Flags, context: CliContext): Promise<void> {
  const { env, signal } = context;
  if (flags.all === archives.length > 0) {
    throw new ArchiveError('Usage', 'Name the archives to verify, or pass --all.');
  }
  const infos = flags.all
    ? listArchives(
        existingDirectory(
          required(flags.destination ?? destinationOf(env), '--destination', 'KM_BACKUP_DEST'),
        ),
      )
    : archives.map((path) => ({ path, sizeBytes: statSync(path, { throwIfNoEntry: false })?.size ?? 0 }));
  const ofBytes = infos.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  using progress = startProgress<VerifyProgress>(
    { mode: flags.progress, unwatched: 'summary', measure },
    process.stderr,
  );
  let archivesDone = 0;
  let damaged = 0;
  let before = 0;
  for (const { path, sizeBytes } of infos) {
    const tell = (bytes: number) =>
      progress.update({ archives: archivesDone, ofArchives: infos.length, bytes: before + bytes, ofBytes });
    tell(0);
    const verification = await verifyArchive(path, { deep: flags.deep, signal, progress: tell });
    progress.clear();
    process.stdout.write(flags.json ? `${JSON.stringify(verification)}\n` : format(verification));
    archivesDone++;
    before += sizeBytes;
    if (!verification.sound) {
      damaged++;
      context.exitCode = ExitCode.verification;
    }
  }
  progress.end({
    fields: { archives: archivesDone, damaged, bytes: before },
    text: {
      done: `${archivesDone} ${archivesDone === 1 ? 'archive' : 'archives'}, ${formatBytes(before)}`,
      bytes: before,
      rest: `; ${damaged} damaged`,
    },
  });
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

function format({ archive, sound, against, entries, bytes, warnings, problem }: Verification): string {
  if (!sound) return `BAD  ${archive}: ${problem} (checked ${basis[against]})\n`;
  const note = warnings > 0 ? `; its run named ${warnings} file(s) as not captured faithfully` : '';
  return `ok   ${archive}: ${entries} entries, ${formatBytes(bytes)} (checked ${basis[against]}${note})\n`;
}
