const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** Depth inside the list's `items`, and of the members of the list itself. */
const IN_ITEMS = 2;
const IN_LIST = 1;

/**
 * Cuts the JSON text of a list into its items as it comes off the wire, so that neither a whole page nor the
 * objects of one are ever in memory. What is wrong with the text is found by parsing what was cut.
 */
export class ListScanner {
  readonly #onItem: (text: string) => void;
  /** What came before of the item, or of the list around the items, that is under way. */
  #pieces: Buffer[] = [];
  #envelope = '';
  #depth = 0;
  #inItems = false;
  #inString = false;
  #escaped = false;

  /** `onItem` is given the JSON text of each item. */
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
    // Between two items there is nothing to keep.
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
