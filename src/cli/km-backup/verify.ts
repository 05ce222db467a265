import { Command } from 'commander';
import { ArchiveError, ExitCode } from '../../archive/errors.ts';
import { listArchives } from '../../archive/inventory.ts';
import { type Verification, type VerifiedAgainst, verifyArchive } from '../../archive/verify.ts';
import type { CliContext } from './context.ts';
import { existingDirectory, required } from './context.ts';
import { formatBytes } from './table.ts';

interface Flags {
  all: boolean;
  deep: boolean;
  destination?: string;
  json: boolean;
}

const basis: Record<VerifiedAgainst, string> = {
  manifest: 'against its manifest',
  'manifest-deep': 'against its manifest, every header and content',
  structure: 'by structure and checksums only: it has no manifest',
};

export function command(context: CliContext): Command {
  return new Command('verify')
    .description('read archives and tell whether they are sound (exit status 5 where one is not)')
    .argument('[archives...]')
    .option('--all', 'every archive of the destination', false)
    .option('--deep', 'decompress, and compare every header and content', false)
    .option('--destination <dir>', 'directory of the archives (default: $KM_BACKUP_DEST)')
    .option('--json', 'one JSON object a line', false)
    .action((archives: string[], flags: Flags) => run(archives, flags, context));
}

async function run(archives: string[], flags: Flags, context: CliContext): Promise<void> {
  const { env, signal } = context;
  if (flags.all === archives.length > 0) {
    throw new ArchiveError('Usage', 'Name the archives to verify, or pass --all.');
  }
  const paths = flags.all
    ? listArchives(
        existingDirectory(
          required(flags.destination ?? env['KM_BACKUP_DEST'], '--destination', 'KM_BACKUP_DEST'),
        ),
      ).map(({ path }) => path)
    : archives;
  for (const path of paths) {
    const verification = await verifyArchive(path, { deep: flags.deep, signal });
    process.stdout.write(flags.json ? `${JSON.stringify(verification)}\n` : format(verification));
    if (!verification.sound) context.exitCode = ExitCode.verification;
  }
}

function format({ archive, sound, against, entries, bytes, warnings, problem }: Verification): string {
  if (!sound) return `BAD  ${archive}: ${problem} (checked ${basis[against]})\n`;
  const note = warnings > 0 ? `; its run named ${warnings} file(s) as not captured faithfully` : '';
  return `ok   ${archive}: ${entries} entries, ${formatBytes(bytes)} (checked ${basis[against]}${note})\n`;
}
