import { type Command, Option } from 'commander';
import type { RunResult } from '../../api/run-result.ts';
import type { PackTotals } from '../../archive/pack.ts';
import { formatBytes, formatSeconds } from './table.ts';

export type ProgressMode = 'auto' | 'bar' | 'json' | 'none';

export interface Progress {
  readonly update: (totals: PackTotals, expectedBytes: number | undefined) => void;
  readonly end: (result: RunResult) => void;
}

type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY'> & { readonly columns?: number };

const BAR_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;

export function addProgressOption(command: Command): Command {
  return command.addOption(
    new Option('--progress <mode>', 'auto: a bar on a terminal, lines of JSON elsewhere')
      .choices(['auto', 'bar', 'json', 'none'])
      .default('auto'),
  );
}

/** Tells how far a run is, at most ten times a second on a terminal, every five seconds in a log. */
export function startProgress(mode: ProgressMode, output: Output, now = () => performance.now()): Progress {
  const kind = mode === 'auto' ? (output.isTTY ? 'bar' : 'json') : mode;
  if (kind === 'none') return { update: () => {}, end: () => {} };
  const started = now();
  let due = started + (kind === 'bar' ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);
  const seconds = () => (now() - started) / 1000;
  const clear = () => {
    if (kind === 'bar') output.write('\r\u001b[K');
  };
  return {
    update: (totals, expectedBytes) => {
      const time = now();
      if (time < due) return;
      due = time + (kind === 'bar' ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);
      if (kind === 'json')
        output.write(`${JSON.stringify({ event: 'progress', seconds: round(seconds()), ...totals })}\n`);
      else output.write(`\r\u001b[K${barLine(totals, expectedBytes, seconds(), output.columns ?? 80)}`);
    },
    end: (result) => {
      clear();
      if (kind === 'json') output.write(`${JSON.stringify(summaryOf(result, seconds()))}\n`);
      else if (result.archive) output.write(summaryText(result, seconds()));
    },
  };
}

const BAR_WIDTH = 24;

/**
 * The total is not known before the walk ends, and walking twice would cost more than it tells: the
 * previous archive's total stands in for it, and without one there are only counts and the rate.
 */
function barLine(
  { files, sourceBytes }: PackTotals,
  expectedBytes: number | undefined,
  seconds: number,
  columns: number,
): string {
  const rate = sourceBytes / Math.max(seconds, 0.001);
  const pace = `${files} files, ${formatBytes(sourceBytes)}, ${formatBytes(rate)}/s`;
  if (!expectedBytes || rate === 0) return `${pace}, ${formatSeconds(seconds)}`.slice(0, columns - 1);
  const share = Math.min(1, sourceBytes / expectedBytes);
  const filled = Math.round(share * BAR_WIDTH);
  const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
  const left = formatSeconds(Math.max(0, expectedBytes - sourceBytes) / rate);
  return `${bar} ${Math.floor(100 * share)}%  ${pace}, ${left} left`.slice(0, columns - 1);
}

function summaryOf(result: RunResult, seconds: number) {
  const { archive, outcome, reason } = result;
  if (!archive) return { event: 'finished', seconds: round(seconds), outcome, reason };
  const { name, sizeBytes, files, entries, sourceBytes, reusedBytes } = archive;
  return {
    event: 'finished',
    seconds: round(seconds),
    outcome,
    reason,
    archive: name,
    sizeBytes,
    entries,
    files,
    sourceBytes,
    reusedBytes,
    warnings: result.warnings.count,
    pruned: result.pruned.count,
  };
}

function summaryText({ archive, warnings, pruned }: RunResult, seconds: number): string {
  const { files, sourceBytes, sizeBytes, reusedBytes } = archive!;
  const ratio = sizeBytes > 0 ? sourceBytes / sizeBytes : 1;
  const reused = sizeBytes > 0 ? Math.floor((100 * reusedBytes) / sizeBytes) : 0;
  const rate = formatBytes(sourceBytes / Math.max(seconds, 0.001));
  return (
    `${files} files, ${formatBytes(sourceBytes)} -> ${formatBytes(sizeBytes)} (${ratio.toFixed(2)}:1, ` +
    `${reused}% reused) in ${formatSeconds(seconds)}, ${rate}/s; ${warnings.count} warnings, ${pruned.count} removed\n`
  );
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
