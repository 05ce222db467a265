/** Says on standard error what is being waited for: one changing line on a terminal, a line for each change elsewhere. */
import { printable } from '../../log/printable.ts';

const CLEAR_LINE = '\r\u001b[K';
const FRAMES = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';
const FRAME_MS = 120;

export interface Ticker extends Disposable {
  readonly show: (text: string) => void;
  readonly clear: () => void;
}

type Output = Pick<NodeJS.WriteStream, 'write' | 'isTTY'> & { readonly columns?: number };

export function startTicker(output: Output = process.stderr): Ticker {
  let text = '';
  let frame = 0;
  let shown = false;
  const draw = () => {
    const room = Math.max(20, (output.columns || 80) - 3);
    output.write(`${CLEAR_LINE}${FRAMES[frame++ % FRAMES.length]} ${printable(text, room)}`);
    shown = true;
  };
  const clear = () => {
    if (shown) output.write(CLEAR_LINE);
    shown = false;
  };
  const timer = output.isTTY ? setInterval(() => text !== '' && draw(), FRAME_MS) : undefined;
  return {
    show: (next) => {
      if (next === text) return;
      text = next;
      if (output.isTTY) draw();
      else output.write(`${printable(text, Number.POSITIVE_INFINITY)}\n`);
    },
    clear,
    [Symbol.dispose]: () => {
      clearInterval(timer);
      clear();
    },
  };
}
