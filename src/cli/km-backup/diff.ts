import { Command } from 'commander';
import {
  ArchiveError,
  type Aspect,
  type Change,
  type Difference,
  type DiffTotals,
  diffArchives,
  display,
  type Entry,
  ExitCode,
  encodeEntry,
} from '../../archive/index.ts';
import { formatBytes } from '../../log/units.ts';
import { addPlaceFlags, archivesAt, chooseArchive, type PlaceFlags, splitArguments } from './archives-at.ts';
import type { CliContext } from './context.ts';
import { LOCATION_HELP } from './location-flags.ts';
import { collect } from './option-values.ts';
import { printJson, printJsonText, printLine, warn } from './output.ts';
import { table } from './table.ts';

interface Flags extends PlaceFlags {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly summary: boolean;
  readonly exitCode: boolean;
  readonly json: boolean;
}

export function command(context: CliContext): Command {
  const diff = new Command('diff')
    .description(
      'say what differs between two archives: + added, - removed, M content or type changed, U only metadata changed. Reads manifests only.',
    )
    .argument(
      '[archives...]',
      `the earlier and the later archive, each a name, a path, newest, or previous (default: previous newest); before them ${LOCATION_HELP} if they are there`,
    )
    .option('--include <pattern>', 'only names that match, as in .gitignore (repeatable)', collect, [])
    .option('--exclude <pattern>', 'no names that match, as in .gitignore (repeatable)', collect, [])
    .option('--summary', 'only the totals', false)
    .option('--exit-code', `exit with ${ExitCode.differs} if anything differs`, false)
    .option('--json', 'one JSON object for each difference, and one for the totals', false);
  return addPlaceFlags(diff).action((given: string[], flags: Flags) => run(given, flags, context));
}

async function run(given: readonly string[], flags: Flags, context: CliContext): Promise<void> {
  const { url, rest } = splitArguments(given);
  const [from = 'previous', to = 'newest'] = rest;
  if (rest.length > 2)
    throw new ArchiveError('Usage', 'A diff compares two archives: name the earlier first.');
  let listed: ReturnType<typeof archivesAt> | undefined;
  const list = () => {
    listed ??= archivesAt(url, flags, context);
    return listed;
  };
  const earlier = await chooseArchive(from, list, url === undefined);
  const later = await chooseArchive(to, list, url === undefined);
  using before = await earlier.open();
  using after = await later.open();
  if (!flags.json) {
    printLine(`--- ${earlier.name}`);
    printLine(`+++ ${later.name}`);
  }
  const totals = await report(
    diffArchives({ ...flags, before: before.path, after: after.path, signal: context.signal }),
    flags,
    context,
  );
  if (flags.json) printJson({ totals: { before: earlier.name, after: later.name, ...totals } });
  else process.stdout.write(totalsTable(totals));
  if (totals.byTime) {
    warn('an archive has no manifest: files of the same size and modification time count as the same');
  }
  if (flags.exitCode && CHANGES.some((change) => totals[change].entries > 0)) {
    context.exitCode = ExitCode.differs;
  }
}

const CHANGES: readonly Change[] = ['added', 'removed', 'changed', 'metadata'];

/** Prints the differences as they are found. */
async function report(
  differences: AsyncGenerator<readonly Difference[], DiffTotals>,
  { json, summary }: Flags,
  { outputLost }: CliContext,
): Promise<DiffTotals> {
  for (;;) {
    outputLost?.throwIfAborted();
    const next = await differences.next();
    if (next.done) return next.value;
    if (summary) continue;
    if (json) printJsonText(next.value.map(jsonLine).join(''));
    else if (!process.stdout.write(next.value.map(textLine).join(''))) await drained(outputLost);
  }
}

/** A reader slower than the comparison must not fill the memory. */
function drained(lost: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (lost?.aborted) return resolve();
    process.stdout.once('drain', resolve);
    lost?.addEventListener('abort', () => resolve(), { once: true });
  });
}

function jsonLine({ change, aspects, before, after }: Difference): string {
  const what = aspects ? `,"aspects":${JSON.stringify(aspects)}` : '';
  const field = (key: string, entry: Entry | undefined) =>
    entry ? `,"${key}":${encodeEntry(entry).trimEnd()}` : '';
  return `{"change":"${change}"${what}${field('before', before)}${field('after', after)}}\n`;
}

const MARKS: Readonly<Record<Change, string>> = { added: '+', removed: '-', changed: 'M', metadata: 'U' };

function textLine(difference: Difference): string {
  const { change, path, before, after } = difference;
  const { type } = (after ?? before)!;
  const name = `${display(path, Number.POSITIVE_INFINITY) || '.'}${type === 'directory' ? '/' : ''}`;
  const how = difference.aspects ? ` (${describe(difference)})` : '';
  return `${MARKS[change]} ${sizeOf(before, after).padStart(10)}  ${name}${how}\n`;
}

/** The size of what was added or removed; of changed content, the difference. */
function sizeOf(before: Entry | undefined, after: Entry | undefined): string {
  const isFile = (entry: Entry | undefined) => entry?.type === 'file';
  if (!before || !after) return isFile(before ?? after) ? formatBytes((before ?? after)!.size) : '';
  const delta = after.size - before.size;
  return delta === 0 ? '' : `${delta > 0 ? '+' : '-'}${formatBytes(Math.abs(delta))}`;
}

const VALUES: Readonly<Partial<Record<Aspect, (entry: Entry) => string>>> = {
  type: ({ type }) => type,
  mode: ({ mode }) => mode.toString(8).padStart(4, '0'),
  owner: ({ uid, gid }) => `${uid}:${gid}`,
};

/** What changed, in words. */
function describe({
  before,
  after,
  aspects,
}: Extract<Difference, { readonly aspects: readonly Aspect[] }>): string {
  return aspects
    .map((aspect) => {
      const value = VALUES[aspect];
      return value ? `${aspect} ${value(before)} -> ${value(after)}` : aspect;
    })
    .join(', ');
}

function totalsTable(totals: DiffTotals): string {
  const rows = CHANGES.map((change) => {
    const { entries, files, bytesBefore, bytesAfter } = totals[change];
    const bytes = {
      added: `+${formatBytes(bytesAfter)}`,
      removed: `-${formatBytes(bytesBefore)}`,
      changed: `${formatBytes(bytesBefore)} -> ${formatBytes(bytesAfter)}`,
      metadata: '',
    };
    return [change, String(entries), String(files), entries === 0 ? '' : bytes[change]];
  });
  const unchanged = totals.unchanged === undefined ? [] : [['unchanged', String(totals.unchanged), '', '']];
  return table(['', 'ENTRIES', 'FILES', 'BYTES'], [...rows, ...unchanged]);
}
