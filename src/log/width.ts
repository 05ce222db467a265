/** How much room text takes on a terminal. */

/** Characters that take two columns: East Asian ones, and most emoji. */
const WIDE: readonly (readonly [from: number, to: number])[] = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff00, 0xff60],
  [0xffe0, 0xffe6],
  [0x1f300, 0x1f64f],
  [0x1f680, 0x1f6ff],
  [0x1f900, 0x1faff],
  [0x20000, 0x3fffd],
];

const narrow = /^[\x20-\x7e…]*$/;
/** Marks that stand above or below the character before them. */
const mark = /\p{M}/u;

function columnsOf(character: string): number {
  if (mark.test(character)) return 0;
  const code = character.codePointAt(0)!;
  return WIDE.some(([from, to]) => code >= from && code <= to) ? 2 : 1;
}

/** Columns that a printable text takes. */
export function textWidth(text: string): number {
  if (narrow.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += columnsOf(character);
  return width;
}

/** As much from the start of a text as fits, and `…` if that is not all. */
export function cutText(text: string, columns: number): string {
  return textWidth(text) <= columns ? text : `${startOf(text, columns - 1)}…`;
}

/** The start and the end of a text, with `…` for what does not fit between. The end of a path says more than its middle. */
export function cutMiddle(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text;
  const start = startOf(text, Math.floor((columns - 1) / 3));
  const reversed = startOf([...text].reverse().join(''), columns - 1 - textWidth(start));
  return `${start}…${[...reversed].reverse().join('')}`;
}

function startOf(text: string, columns: number): string {
  let width = 0;
  let start = '';
  for (const character of text) {
    width += columnsOf(character);
    if (width > columns) break;
    start += character;
  }
  return start;
}

export function padText(text: string, columns: number, right = false): string {
  const room = ' '.repeat(Math.max(0, columns - textWidth(text)));
  return right ? room + text : text + room;
}
