import { Command } from 'commander';
import { display, type ExtractProgress, extractEntries } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import type { CliContext } from './context.ts';
import { existingDirectory } from './context.ts';
import { addAsOfFlag, addCopyFlags, type CopyFlags, isLocation, LOCATION_HELP } from './location-flags.ts';
import { print, warn } from './output.ts';
import { addProgressOption, type ProgressMode, startProgress } from './progress.ts';
import type { Measure } from './progress-bar.ts';

interface Flags extends CopyFlags {
  directory: string;
  progress: ProgressMode;
}

export function command(context: CliContext): Command {
  const { signal } = context;
  const extract = new Command('extract')
    .description('write some files of an archive, reading only the members that hold them')
    .argument('<archive>', `path of the archive, or ${LOCATION_HELP}`)
    .argument('<paths...>', 'paths within the archive; a directory brings everything below it')
    .option('-C, --directory <dir>', 'write below this directory', '.');
  return addProgressOption(addAsOfFlag(addCopyFlags(extract)), 'summary').action(
    async (given: string, paths: string[], flags: Flags) => {
      const directory = existingDirectory(flags.directory);
      using view = isLocation(given)
        ? await (await import('./local-view.ts')).viewAt(given, paths, flags, context)
        : undefined;
      const archive = view?.archive ?? given;
      using progress = startProgress<ExtractProgress>(
        { mode: flags.progress, unwatched: 'summary', measure },
        process.stderr,
      );
      const { entries, skipped, bytesRead } = await extractEntries(archive, {
        paths,
        directory,
        owner: process.geteuid?.() === 0,
        warn: (path, message) => {
          progress.clear();
          warn(`./${display(path)}: ${message}`);
        },
        signal,
        progress: progress.update,
      });
      progress.end({ fields: { entries, skipped, bytesRead } });
      const rest = skipped > 0 ? `; ${skipped} left out` : '';
      print(`Extracted ${entries} entries to ${directory}, reading ${formatBytes(bytesRead)}${rest}`);
    },
  );
}

function measure({ entries, ofEntries, bytes, ofBytes }: ExtractProgress): Measure {
  return { count: entries, ofCount: ofEntries, noun: 'entries', bytes, ofBytes };
}
