import { Command } from 'commander';
import { ArchiveError, encodeEntry, historyOf, type Version } from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { addPlaceFlags, archivesAt, type PlaceFlags, splitArguments } from './archives-at.ts';
import type { CliContext } from './context.ts';
import { LOCATION_HELP } from './location-flags.ts';
import { printJsonText, warn } from './output.ts';
import { formatTime, table } from './table.ts';

interface Flags extends PlaceFlags {
  readonly json: boolean;
}

export function command(context: CliContext): Command {
  const history = new Command('history')
    .description(
      'show one file through all archives: in which it is, its size and time, and where it changed. Reads manifests only.',
    )
    .argument('<path...>', `path within the archives; before it ${LOCATION_HELP} if they are there`)
    .option('--json', 'one JSON object a line, oldest first', false);
  return addPlaceFlags(history).action((given: string[], flags: Flags) => run(given, flags, context));
}

async function run(given: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const { url, rest } = splitArguments(given);
  const [path] = rest;
  if (path === undefined || rest.length > 1) {
    throw new ArchiveError('Usage', 'Name one path within the archives.');
  }
  const archives = (await archivesAt(url, flags, context)).reverse();
  const versions: Version[] = [];
  for await (const version of historyOf({ archives, path, signal: context.signal })) {
    context.outputLost?.throwIfAborted();
    if (flags.json) printJsonText(jsonLine(version));
    else versions.push(version);
    if (version.change === 'unreadable') warn(`${version.archive} is skipped: ${version.problem}`);
  }
  if (flags.json) return;
  process.stdout.write(
    versions.length === 0 ? 'No archives.\n' : toTable(versions.reverse(), process.stdout.columns ?? WIDE),
  );
}

function jsonLine(version: Version): string {
  if (!('entry' in version)) return `${JSON.stringify(version)}\n`;
  const { entry, ...rest } = version;
  return `${JSON.stringify(rest).slice(0, -1)},"entry":${encodeEntry(entry).trimEnd()}}\n`;
}

/** Width of the table with times. */
const WIDE = 72;

function toTable(versions: readonly Version[], columns: number): string {
  const rows = versions.map((version) => {
    const { archive, change } = version;
    if (!('entry' in version)) return [archive, '-', change, '-'];
    const { type, size, mtime } = version.entry;
    return [archive, type === 'file' ? formatBytes(size) : type, change, formatTime(mtime)];
  });
  const head = ['ARCHIVE', 'SIZE', 'CHANGE', 'MODIFIED'];
  const shown = columns < WIDE ? head.length - 1 : head.length;
  return table(
    head.slice(0, shown),
    rows.map((row) => row.slice(0, shown)),
  );
}
