/** Tables that fit the terminal: long columns are cut, and where that is not enough, the least important are left out. */
import { printable } from '../../log/printable.ts';
import { cutText, padText, textWidth } from '../../log/width.ts';

export interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  /** The column with the lowest weight is left out first; one without a weight never is. */
  readonly weight?: number;
  /** Numbers. */
  readonly right?: boolean;
  /** May be cut, down to this many characters. */
  readonly least?: number;
  /** Colours a cell; it must not change its width. */
  readonly paint?: (padded: string, cell: string) => string;
}

const GAP = 2;

/**
 * A table as text. Cells are escaped.
 * @param room Columns of the terminal; undefined where there is no limit.
 */
export function fittedTable(
  columns: readonly Column[],
  room: number | undefined,
  { headers = true }: { headers?: boolean } = {},
): string {
  const escaped = columns.map((column) => ({
    ...column,
    cells: column.cells.map((cell) => printable(cell, Number.POSITIVE_INFINITY)),
  }));
  const shown = fitted(escaped, room, headers);
  const widths = shown.map((column) => widthOf(column, headers));
  const rows = shown[0]?.cells.length ?? 0;
  const line = (text: (column: Column, width: number) => string) =>
    `${shown
      .map((column, index) => text(column, widths[index]!))
      .join(' '.repeat(GAP))
      .trimEnd()}\n`;
  const padded = ({ right }: Column, text: string, width: number) => padText(text, width, right);
  const lines = Array.from({ length: rows }, (_, row) =>
    line((column, width) => {
      const cell = column.cells[row]!;
      const text = padded(column, cell, width);
      return column.paint ? column.paint(text, cell) : text;
    }),
  );
  return [...(headers ? [line((column, width) => padded(column, column.title, width))] : []), ...lines].join(
    '',
  );
}

function widthOf({ title, cells }: Column, headers: boolean): number {
  return cells.reduce((most, cell) => Math.max(most, textWidth(cell)), headers ? title.length : 0);
}

function fitted(columns: readonly Column[], room: number | undefined, headers: boolean): readonly Column[] {
  if (room === undefined) return columns;
  let kept = columns;
  for (;;) {
    const over = kept.reduce((sum, column) => sum + widthOf(column, headers) + GAP, -GAP) - room;
    const weights = kept.map(({ weight }) => weight ?? Number.POSITIVE_INFINITY);
    const least = Math.min(...weights);
    const slack = kept.reduce((sum, column) => sum + slackOf(column, headers), 0);
    if (over <= slack || least === Number.POSITIVE_INFINITY) return cut(kept, over, headers);
    kept = kept.filter(({ weight }) => weight !== least);
  }
}

/** How much a column can be cut. */
function slackOf(column: Column, headers: boolean): number {
  return column.least === undefined ? 0 : Math.max(0, widthOf(column, headers) - column.least);
}

/** Cuts columns until they take `over` less, those with the most slack first. */
function cut(columns: readonly Column[], over: number, headers: boolean): readonly Column[] {
  const [most] = columns.toSorted((a, b) => slackOf(b, headers) - slackOf(a, headers));
  const slack = most ? slackOf(most, headers) : 0;
  if (over <= 0 || !most || slack === 0) return columns;
  const by = Math.min(over, slack);
  const width = widthOf(most, headers) - by;
  const cells = most.cells.map((cell) => cutText(cell, width));
  return cut(
    columns.map((column) => (column === most ? { ...column, cells } : column)),
    over - by,
    headers,
  );
}

/** Breaks a text at spaces. Later lines are indented. A word that is too long is not broken. */
export function wrapped(text: string, room: number | undefined, indent: string, first = indent): string {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of printable(text, Number.POSITIVE_INFINITY).split(' ')) {
    if (room !== undefined && !empty && textWidth(line) + 1 + textWidth(word) > room) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return `${lines.map((one) => one.trimEnd()).join('\n')}\n`;
}
