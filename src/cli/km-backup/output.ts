import { escapeJson, printable, printableJson } from '../../log/printable.ts';
import { wrapped } from './fitted-table.ts';

/*
 * Everything that a command prints for people goes through here and is escaped, so that a name, series or argument
 * cannot forge a line or rewrite a terminal.
 */

/** A sentence on standard error; on a terminal it breaks between words. */
export function say(message: string): void {
  process.stderr.write(sentenceFor(process.stderr, message));
}

/** Programs read lines, so only a terminal gets more than one. */
export function sentenceFor(
  { isTTY, columns }: { readonly isTTY?: boolean | undefined; readonly columns?: number | undefined },
  text: string,
): string {
  const [lead = ''] = /^ */.exec(text) ?? [];
  return isTTY ? wrapped(text, columns || undefined, `${lead}  `, '') : lineOf(text);
}

const lineOf = (text: string) => `${printable(text, Number.POSITIVE_INFINITY)}\n`;

/** Escapes commander's errors, which quote arguments. A second line may hold a suggestion. */
export const ESCAPED_ERRORS = {
  outputError: (text: string): void => {
    for (const line of text.trimEnd().split(/\n(?=\(Did you mean )/)) say(line);
  },
};

export function warn(message: string): void {
  say(`warning: ${message}`);
}

/** A sentence on standard output; on a terminal it breaks between words. */
export function print(text: string): void {
  process.stdout.write(sentenceFor(process.stdout, text));
}

/** One line on standard output: a name, or the line of a log. */
export function printLine(line: string): void {
  process.stdout.write(lineOf(line));
}

/** A value as one line of JSON on standard output. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(value)}\n`);
}

/** Lines of JSON on standard output. */
export function printJsonText(lines: string): void {
  process.stdout.write(escapeJson(lines));
}

/** Prints the last line of a run. Programs read the path from it, so it is escaped only on a terminal. */
export function printArchive(path: string): void {
  const line = `Backup written to ${path}`;
  if (process.stdout.isTTY) print(line);
  else process.stdout.write(`${line}\n`);
}

/**
 * Watches standard output while a command runs. Its reader may go away (`km-backup ls … | head`), or its disk may be
 * full: the command still finishes its work.
 */
export class OutputWatch implements Disposable {
  readonly #controller = new AbortController();

  constructor() {
    process.stdout.on('error', this.#fail);
    // There is nowhere left to report it.
    process.stderr.on('error', ignore);
  }

  /** Aborted once standard output cannot be written, with the error as its reason. */
  get lost(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits until everything printed so far is written or has failed. */
  async settled(): Promise<void> {
    await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  }

  [Symbol.dispose](): void {
    process.stdout.removeListener('error', this.#fail);
    process.stderr.removeListener('error', ignore);
  }

  readonly #fail = (error: Error): void => this.#controller.abort(error);
}

function ignore(): void {}
