import { Command } from 'commander';
import { display } from '../../archive/byte-string.ts';
import { extractEntries } from '../../archive/contents.ts';
import type { CliContext } from './context.ts';
import { existingDirectory } from './context.ts';
import { formatBytes } from './table.ts';

export function command({ signal }: CliContext): Command {
  return new Command('extract')
    .description('write chosen files of an archive, reading only the pieces that hold them')
    .argument('<archive>')
    .argument('<paths...>', 'paths within the archive; a directory brings all below it')
    .option('-C, --directory <dir>', 'write below this directory', '.')
    .action(async (archive: string, paths: string[], flags: { directory: string }) => {
      const directory = existingDirectory(flags.directory);
      const { entries, bytesRead } = await extractEntries(archive, {
        paths,
        directory,
        owner: process.geteuid?.() === 0,
        warn: (path, message) => process.stderr.write(`warning: ./${display(path)}: ${message}\n`),
        signal,
      });
      process.stdout.write(
        `Extracted ${entries} entries to ${directory}, reading ${formatBytes(bytesRead)}\n`,
      );
    });
}
