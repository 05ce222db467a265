const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Nesting depth inside the list's `items`, and directly inside the list. */
const IN_ITEMS = 2;
const IN_LIST = 1;

/**
 * Splits the JSON text of a list into its items as it arrives, so that the whole list is never in memory. It does not
 * check the text: parsing the pieces does.
 */
export class ListScanner {
  readonly #onItem: (text: string) => void;
  /** The start of the current item, or of the list around the items, from earlier chunks. */
  #pieces: Buffer[] = [];
  #envelope = '';
  #depth = 0;
  #inItems = false;
  #inString = false;
  #escaped = false;

  /** @param onItem Called with the JSON text of each item. */
  constructor(onItem: (text: string) => void) {
    this.#onItem = onItem;
  }

  write(chunk: Uint8Array): void {
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let from = 0;
    let depth = this.#depth;
    let inString = this.#inString;
    let escaped = this.#escaped;
    for (let at = 0; at < buffer.length; at += 1) {
      const byte = buffer[at]!;
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === BACKSLASH) escaped = true;
        else if (byte === QUOTE) inString = false;
      } else if (byte === QUOTE) {
        inString = true;
      } else if (byte === OPEN_BRACE) {
        if (this.#inItems && depth === IN_ITEMS) from = at;
        depth += 1;
      } else if (byte === CLOSE_BRACE) {
        depth -= 1;
        if (this.#inItems && depth === IN_ITEMS) {
          this.#onItem(this.#cut(buffer, from, at + 1));
          from = at + 1;
        }
      } else if (byte === OPEN_BRACKET) {
        depth += 1;
        if (depth === IN_ITEMS && !this.#inItems) {
          this.#envelope += this.#cut(buffer, from, at + 1);
          this.#inItems = /"items"\s*:\s*\[$/.test(this.#envelope);
          from = at + 1;
        }
      } else if (byte === CLOSE_BRACKET) {
        depth -= 1;
        if (depth === IN_LIST && this.#inItems) {
          this.#inItems = false;
          this.#pieces = [];
          from = at;
        }
      }
    }
    // Text between two items is not needed.
    if (!this.#inItems || depth > IN_ITEMS) this.#pieces.push(buffer.subarray(from));
    this.#depth = depth;
    this.#inString = inString;
    this.#escaped = escaped;
  }

  /** The list without its items. */
  end(): unknown {
    return JSON.parse(this.#envelope + this.#cut(Buffer.alloc(0), 0, 0));
  }

  #cut(buffer: Buffer, from: number, to: number): string {
    if (this.#pieces.length === 0) return buffer.toString('utf8', from, to);
    const whole = Buffer.concat([...this.#pieces, buffer.subarray(from, to)]);
    this.#pieces = [];
    return whole.toString('utf8');
  }
}
