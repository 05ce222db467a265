/** Runs a program on a terminal, and says what a person sees there. */
import { type ChildProcess, spawn } from 'node:child_process';
import xterm from '@xterm/headless';
import { terminalPicture } from './terminal-picture.ts';

export interface TerminalOptions {
  readonly columns: number;
  readonly env: Readonly<Record<string, string>>;
}

const ROWS = 60;
const TIMEOUT_MS = 120_000;

/** A program on a terminal of its own, made by script(1). */
export class OnTerminal {
  /** Every screen that differed from the one before it. */
  readonly screens: string[] = [];
  /** Everything that was written, with its colours. */
  raw = '';
  readonly #child: ChildProcess;
  readonly #terminal: xterm.Terminal;
  readonly #ended: Promise<number | null>;
  #waiting: (() => void)[] = [];

  constructor(command: readonly string[], { columns, env }: TerminalOptions) {
    this.#terminal = new xterm.Terminal({ cols: columns, rows: ROWS, allowProposedApi: true });
    const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    // Otherwise it has no size, as `script` itself has no terminal.
    const line = `stty cols ${columns} rows ${ROWS}; exec ${quoted}`;
    this.#child = spawn('script', ['--quiet', '--return', '--flush', '--command', line, '/dev/null'], {
      env: { ...env, TERM: 'xterm-256color', SHELL: '/bin/sh' },
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: TIMEOUT_MS,
    });
    let written = Promise.resolve();
    this.#child.stdout!.on('data', (chunk: Buffer) => {
      written = written.then(() => this.#write(chunk));
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('close', (code) => void written.then(() => resolve(code)));
    });
  }

  /** What is on the screen, and what has scrolled away. Lines that did not fit end in `⏎`. */
  get screen(): string {
    const { active } = this.#terminal.buffer;
    const lines = Array.from({ length: active.length }, (_, at) => {
      const next = active.getLine(at + 1);
      return `${active.getLine(at)!.translateToString(true)}${next?.isWrapped ? '⏎' : ''}`;
    });
    return `${lines.join('\n').trimEnd()}\n`;
  }

  /** An SVG of the screen. */
  picture(title: string): string {
    const lines = this.screen.trimEnd().split('\n').length;
    return terminalPicture(this.#terminal.buffer.active, this.#terminal.cols, lines, title);
  }

  /** Resolves once the screen shows the text. @throws {Error} when the program ends before. */
  async shows(text: string | RegExp): Promise<void> {
    const found = () => (typeof text === 'string' ? this.screen.includes(text) : text.test(this.screen));
    const ended = this.#ended.then(() => true);
    while (!found()) {
      const changed = new Promise<false>((resolve) => this.#waiting.push(() => resolve(false)));
      if ((await Promise.race([changed, ended])) && !found())
        throw new Error(`It ended without showing ${text}:\n${this.screen}`);
    }
  }

  /** Types keys: `\x03` is Ctrl-C, `\x04` the end of input. */
  type(keys: string): void {
    this.#child.stdin!.write(keys);
  }

  /** Its exit status. */
  async end(): Promise<number | null> {
    const code = await this.#ended;
    this.#child.stdin!.destroy();
    return code;
  }

  async #write(chunk: Buffer): Promise<void> {
    this.raw += chunk.toString('latin1');
    await new Promise<void>((resolve) => this.#terminal.write(chunk, resolve));
    const { screen } = this;
    if (screen !== this.screens.at(-1)) this.screens.push(screen);
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
