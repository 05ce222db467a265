/** Deeper nesting than this is refused: every parser of the application has a limit too. */
const MAX_DEPTH = 100_000;

const WHITE = /[ \t\n\r]*/y;
/** Characters of a string that need no look: no quote, no escape, no control character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters must be escaped in JSON
const PLAIN = /[^"\\\x00-\x1f]*/y;
const ESCAPE = /^(?:["\\/bfnrt]|u[0-9a-fA-F]{4})$/;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const WORDS: ReadonlySet<string> = new Set(['true', 'false', 'null']);
/** Longest number that is checked; longer ones are refused. */
const MAX_LITERAL = 4096;

/** What may come next. */
type Expected = 'value' | 'valueOrEnd' | 'key' | 'keyOrEnd' | 'colon' | 'commaOrEnd' | 'nothing';

/** Says whether text is JSON (RFC 8259), chunk by chunk: memory does not grow with it, except one bit of nesting a level. */
export class JsonValidator {
  #expected: Expected = 'value';
  /** Open brackets, `{` as true. */
  readonly #open: boolean[] = [];
  #inString = false;
  #isKey = false;
  /** The characters of an escape so far, without its backslash. */
  #escape: string | undefined;
  /** A number or word that the chunk may have cut. */
  #literal = '';
  #offset = 0;

  /** @throws {SyntaxError} With the position, in characters. */
  push(text: string): void {
    for (let at = 0; at < text.length; ) at = this.#step(text, at);
    this.#offset += text.length;
  }

  /** @throws {SyntaxError} When the value is not complete. */
  end(): void {
    this.#endLiteral(0);
    if (this.#inString || this.#expected !== 'nothing')
      throw new SyntaxError('it ends in the middle of a value');
  }

  #step(text: string, at: number): number {
    if (this.#inString) return this.#string(text, at);
    const char = text[at]!;
    if (/[-+.\w]/.test(char)) {
      this.#literal += char;
      if (this.#literal.length > MAX_LITERAL) throw this.#wrong(at, 'too long a number or word');
      return at + 1;
    }
    this.#endLiteral(at);
    WHITE.lastIndex = at;
    WHITE.test(text);
    if (WHITE.lastIndex > at) return WHITE.lastIndex;
    this.#token(char, at);
    return at + 1;
  }

  #string(text: string, at: number): number {
    if (this.#escape !== undefined) {
      this.#escape += text[at];
      const isUnicode = this.#escape.startsWith('u');
      if (isUnicode && this.#escape.length < 5) return at + 1;
      if (!ESCAPE.test(this.#escape)) throw this.#wrong(at, 'a bad escape');
      this.#escape = undefined;
      return at + 1;
    }
    PLAIN.lastIndex = at;
    PLAIN.test(text);
    if (PLAIN.lastIndex > at) return PLAIN.lastIndex;
    if (text[at] === '\\') this.#escape = '';
    else if (text[at] === '"') {
      this.#inString = false;
      if (this.#isKey) this.#expected = 'colon';
      else this.#valueEnded();
    } else throw this.#wrong(at, 'a control character in a string');
    return at + 1;
  }

  #token(char: string, at: number): void {
    const expected = this.#expected;
    const takesValue = expected === 'value' || expected === 'valueOrEnd';
    if (char === '"' && (takesValue || expected === 'key' || expected === 'keyOrEnd')) {
      this.#inString = true;
      this.#isKey = !takesValue;
    } else if ((char === '{' || char === '[') && takesValue) {
      if (this.#open.length >= MAX_DEPTH) throw this.#wrong(at, 'too deep nesting');
      this.#open.push(char === '{');
      this.#expected = char === '{' ? 'keyOrEnd' : 'valueOrEnd';
    } else if (
      char === '}' &&
      this.#open.at(-1) === true &&
      (expected === 'keyOrEnd' || expected === 'commaOrEnd')
    ) {
      this.#close();
    } else if (
      char === ']' &&
      this.#open.at(-1) === false &&
      (expected === 'valueOrEnd' || expected === 'commaOrEnd')
    ) {
      this.#close();
    } else if (char === ',' && expected === 'commaOrEnd') {
      this.#expected = this.#open.at(-1) ? 'key' : 'value';
    } else if (char === ':' && expected === 'colon') this.#expected = 'value';
    else throw this.#wrong(at, `an unexpected '${char}'`);
  }

  #endLiteral(at: number): void {
    const literal = this.#literal;
    if (literal === '') return;
    this.#literal = '';
    const takesValue = this.#expected === 'value' || this.#expected === 'valueOrEnd';
    if (!takesValue || !(WORDS.has(literal) || NUMBER.test(literal))) {
      throw this.#wrong(at, `an unexpected '${literal.slice(0, 20)}'`);
    }
    this.#valueEnded();
  }

  #close(): void {
    this.#open.pop();
    this.#valueEnded();
  }

  #valueEnded(): void {
    this.#expected = this.#open.length === 0 ? 'nothing' : 'commaOrEnd';
  }

  #wrong(at: number, what: string): SyntaxError {
    return new SyntaxError(`${what} at character ${this.#offset + at}`);
  }
}
