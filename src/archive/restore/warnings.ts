import { type ByteString, display } from '../format/byte-string.ts';

export interface RestoreWarnings {
  readonly count: number;
  /** The first few, bounded and escaped. */
  readonly samples: readonly string[];
}

const MAX_SAMPLES = 20;
const MAX_OF_KIND = 4;

/** Counts warnings and keeps the first ones. */
export class Warnings {
  #count = 0;
  readonly #samples: string[] = [];
  readonly #lines: string[] = [];

  readonly #ofKind = new Map<string, number>();

  /** @param kind Of one kind only the first few are kept, so that others are seen as well. */
  readonly add = (at: ByteString, message: string, kind?: string): void => {
    this.#count++;
    if (this.#samples.length >= MAX_SAMPLES) return;
    if (kind !== undefined) {
      const before = this.#ofKind.get(kind) ?? 0;
      this.#ofKind.set(kind, before + 1);
      if (before >= MAX_OF_KIND) return;
    }
    this.#samples.push(`${display(at === '' ? ('./' as ByteString) : at)}: ${message}`);
  };

  /** A warning about more than one entry, in words that are safe to print. These come first. */
  addLine(line: string): void {
    this.#count++;
    this.#lines.push(line);
  }

  get summary(): RestoreWarnings {
    return { count: this.#count, samples: [...this.#lines, ...this.#samples].slice(0, MAX_SAMPLES) };
  }
}
