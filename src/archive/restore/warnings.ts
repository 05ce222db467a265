import { type ByteString, display } from '../format/byte-string.ts';

export interface RestoreWarnings {
  readonly count: number;
  /** The first few, bounded and escaped. */
  readonly samples: readonly string[];
}

const MAX_SAMPLES = 20;

/** Counts warnings and keeps the first ones. */
export class Warnings {
  #count = 0;
  readonly #samples: string[] = [];

  readonly add = (at: ByteString, message: string): void => {
    this.#count++;
    if (this.#samples.length < MAX_SAMPLES) this.#samples.push(`${display(at)}: ${message}`);
  };

  get summary(): RestoreWarnings {
    return { count: this.#count, samples: this.#samples };
  }
}
