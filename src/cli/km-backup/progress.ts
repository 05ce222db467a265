import { type Command, Option } from 'commander';
import { printableJson } from '../../log/printable.ts';
import { formatBytes, formatSeconds } from '../../log/units.ts';
import { sentenceFor } from './output.ts';
import { barLine, type Measure } from './progress-bar.ts';

const modes = ['auto', 'bar', 'json', 'none'] as const;
export type ProgressMode = (typeof modes)[number];

/** What `auto` means if standard error is not a terminal: lines of JSON, or only the summary. */
export type Unwatched = 'json' | 'summary';

/** Shows how a run progresses. Disposing it removes the bar. */
export interface Progress<T extends object> extends Disposable {
  readonly update: (state: T) => void;
  /** Removes the bar, so that other text can be printed. */
  readonly clear: () => void;
  readonly end: (summary: Ending) => void;
}

export interface Ending {
  /** Fields of the last JSON line. */
  readonly fields: object;
  /** The text before and after the duration and the rate; undefined if nothing was done. */
  readonly text?: { readonly done: string; readonly bytes: number; readonly rest?: string } | undefined;
}

type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY'> & { readonly columns?: number };

const BAR_INTERVAL_MS = 100;
const LINE_INTERVAL_MS = 5_000;
const CLEAR_LINE = '\r\u001b[K';

export function addProgressOption(command: Command, unwatched: Unwatched): Command {
  const elsewhere = unwatched === 'json' ? 'lines of JSON' : 'only a summary';
  return command.addOption(
    new Option('--progress <mode>', `on standard error; auto: a bar on a terminal, ${elsewhere} elsewhere`)
      .choices(modes)
      .default('auto'),
  );
}

/**
 * Reports at most ten times a second on a terminal, every five seconds in a log, and whenever a phase begins. A line of
 * JSON holds the whole state; `measure` picks what a bar shows.
 */
export function startProgress<T extends object>(
  {
    mode,
    unwatched,
    measure,
    run,
  }: {
    mode: ProgressMode;
    unwatched: Unwatched;
    measure: (state: T) => Measure;
    /** Id of the run, for each line of JSON. */
    run?: string | undefined;
  },
  output: Output,
  now = () => performance.now(),
): Progress<T> {
  const kind = mode === 'auto' ? (output.isTTY ? 'bar' : unwatched) : mode;
  const started = now();
  const secondsSince = (time: number) => (now() - time) / 1000;
  const interval = kind === 'bar' ? BAR_INTERVAL_MS : LINE_INTERVAL_MS;
  let due = started + interval;
  let phase: string | undefined;
  let phaseStarted = started;
  let shown = false;
  const json = (event: string, fields: object) =>
    output.write(`${printableJson({ event, run, seconds: round(secondsSince(started)), ...fields })}\n`);
  const clear = () => {
    if (shown) output.write(CLEAR_LINE);
    shown = false;
  };
  return {
    update: (state) => {
      if (kind !== 'bar' && kind !== 'json') return;
      const time = now();
      const measured = measure(state);
      const begins = measured.phase !== phase;
      if (begins) {
        phase = measured.phase;
        phaseStarted = time;
      }
      if (time < due && !begins) return;
      due = time + interval;
      if (kind === 'json') json('progress', state);
      else {
        const line = barLine(measured, secondsSince(phaseStarted), output.columns || 80);
        output.write(`${CLEAR_LINE}${line}`);
        shown = true;
      }
    },
    clear,
    end: ({ fields, text }) => {
      clear();
      if (kind === 'json') json('finished', fields);
      else if (kind !== 'none' && text) {
        const seconds = secondsSince(started);
        const rate = formatBytes(Math.round(text.bytes / Math.max(seconds, 0.001)));
        const said = `${text.done} in ${formatSeconds(seconds)}, ${rate}/s${text.rest ?? ''}`;
        output.write(sentenceFor(output, said));
      }
    },
    [Symbol.dispose]: clear,
  };
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
