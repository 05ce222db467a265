import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';

/** Shows progress to a person: in colour, with a live line, on a terminal; as plain lines elsewhere. */
export interface Presenter {
  heading(text: string): void;
  say(text: string): void;
  /** Prints a command and its output. */
  command(line: string, output: string): void;
  /** Runs work and shows its progress; `update` sets the current step. */
  task<T>(label: string, work: (update: (text: string) => void) => Promise<T>): Promise<T>;
  /** Seconds since the start. */
  elapsed(): number;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;

export function seconds(ms: number): string {
  const whole = ms / 1000;
  return whole < 60 ? `${whole.toFixed(1)} s` : `${Math.floor(whole / 60)} min ${Math.round(whole % 60)} s`;
}

function liveTask(out: WriteStream) {
  return async <T>(label: string, work: (update: (text: string) => void) => Promise<T>): Promise<T> => {
    const start = performance.now();
    let detail = '';
    let frame = 0;
    const draw = () => {
      const line = `${FRAMES[frame++ % FRAMES.length]} ${label} ${seconds(performance.now() - start)}${detail && `  ${detail}`}`;
      out.write(`\r\x1b[2K${line.slice(0, out.columns - 1)}`);
    };
    const timer = setInterval(draw, FRAME_MS);
    const end = (mark: string) => {
      clearInterval(timer);
      out.write(`\r\x1b[2K${mark} ${label} ${styleText('dim', seconds(performance.now() - start))}\n`);
    };
    try {
      const result = await work((text) => {
        detail = text.replaceAll('\n', ' ');
      });
      end(styleText('green', '✓'));
      return result;
    } catch (error) {
      end(styleText('red', '✗'));
      throw error;
    }
  };
}

function plainTask(out: NodeJS.WritableStream) {
  return async <T>(label: string, work: (update: (text: string) => void) => Promise<T>): Promise<T> => {
    const start = performance.now();
    let last = '';
    out.write(`... ${label}\n`);
    const result = await work((text) => {
      if (text !== last) out.write(`    ${text}\n`);
      last = text;
    });
    out.write(`ok  ${label} (${seconds(performance.now() - start)})\n`);
    return result;
  };
}

export function presenter(out: WriteStream): Presenter {
  const live = out.isTTY === true;
  const style = (format: 'bold' | 'cyan' | 'dim', text: string) => (live ? styleText(format, text) : text);
  let step = 0;
  return {
    heading: (text) => void out.write(`\n${style('bold', `${++step}. ${text}`)}\n`),
    say: (text) => void out.write(`${text}\n`),
    command: (line, output) => {
      const body = output.trimEnd().replace(/^/gm, '  ');
      out.write(`\n  ${style('cyan', `$ ${line}`)}\n${body}\n\n`);
    },
    task: live ? liveTask(out) : plainTask(out),
    elapsed: () => performance.now() / 1000,
  };
}
