import { Command } from 'commander';
import { display, type Entry, type EntryType, encodeEntry, listEntries } from '../../archive/index.ts';
import type { CliContext } from './context.ts';
import { addAsOfFlag, addCopyFlags, type CopyFlags, isLocation, LOCATION_HELP } from './location-flags.ts';
import { printJsonText } from './output.ts';
import { formatTime } from './table.ts';

const letter: Record<EntryType, string> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  hardlink: 'h',
  fifo: 'p',
  character: 'c',
  block: 'b',
};

export function command(context: CliContext): Command {
  const { signal, outputLost } = context;
  const ls = new Command('ls')
    .description('list what an archive holds')
    .argument('<archive>', `path of the archive, or ${LOCATION_HELP}`)
    .option('--json', 'one JSON object a line, as in the manifest', false);
  return addAsOfFlag(addCopyFlags(ls)).action(async (given: string, flags: CopyFlags & { json: boolean }) => {
    using view = isLocation(given)
      ? await (await import('./local-view.ts')).viewAt(given, 'manifest', flags, context)
      : undefined;
    const archive = view?.archive ?? given;
    let pending = '';
    const flush = () => {
      if (flags.json) printJsonText(pending);
      else process.stdout.write(pending);
      pending = '';
    };
    await listEntries(
      archive,
      (entry) => {
        outputLost?.throwIfAborted();
        pending += flags.json ? encodeEntry(entry) : formatEntry(entry);
        if (pending.length > 1 << 16) flush();
      },
      signal,
    );
    flush();
  });
}

/** A line like those of `tar -tv`, with names escaped. */
function formatEntry(entry: Entry): string {
  const { type, uid, gid, size, path } = entry;
  const time = formatTime(entry.mtime);
  const link =
    entry.link === undefined
      ? ''
      : `${type === 'hardlink' ? ' link to ./' : ' -> '}${display(entry.link, Number.POSITIVE_INFINITY)}`;
  const name = `./${display(path, Number.POSITIVE_INFINITY)}${type === 'directory' && path !== '' ? '/' : ''}`;
  return `${letter[type]}${permissions(entry.mode)} ${uid}/${gid} ${String(size).padStart(12)} ${time} ${name}${link}\n`;
}

function permissions(mode: number): string {
  const text = [6, 3, 0]
    .map((shift) => {
      const bits = (mode >> shift) & 7;
      return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${bits & 1 ? 'x' : '-'}`;
    })
    .join('')
    .split('');
  const special: [number, number, string][] = [
    [0o4000, 2, 's'],
    [0o2000, 5, 's'],
    [0o1000, 8, 't'],
  ];
  for (const [bit, at, mark] of special) {
    if (mode & bit) text[at] = text[at] === 'x' ? mark : mark.toUpperCase();
  }
  return text.join('');
}
