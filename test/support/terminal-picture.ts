/** A picture of what is on a terminal. */
import type { IBuffer, IBufferCell } from '@xterm/headless';

const CELL = { width: 8.4, height: 18 };
const MARGIN = 14;
const COLOURS: Readonly<Record<number, string>> = { 1: '#ff7b72', 2: '#7ee787', 3: '#e3b341', 4: '#79c0ff' };
const [BACKGROUND, TEXT, DIM] = ['#0d1117', '#e6edf3', '#8b949e'];

function styleOf(cell: IBufferCell): string {
  const colour = cell.isFgPalette() ? (COLOURS[cell.getFgColor()] ?? TEXT) : cell.isDim() ? DIM : TEXT;
  return `fill="${colour}"${cell.isBold() ? ' font-weight="bold"' : ''}`;
}

const escaped = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll(' ', '\u00a0');

/** @param lines how many of the buffer are shown */
export function terminalPicture(buffer: IBuffer, columns: number, lines: number, title: string): string {
  const height = 2 * MARGIN + lines * CELL.height;
  const width = 2 * MARGIN + columns * CELL.width;
  const rows: string[] = [];
  for (let row = 0; row < lines; row++) {
    const line = buffer.getLine(row)!;
    const end = line.translateToString(true).length;
    let text = '';
    let style = '';
    let start = 0;
    const flush = (next: number) => {
      if (text.trim() !== '') {
        const [x, y] = [MARGIN + start * CELL.width, MARGIN + (row + 0.75) * CELL.height];
        const length = (CELL.width * (next - start)).toFixed(1);
        rows.push(
          `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" textLength="${length}" ${style}>${escaped(text)}</text>`,
        );
      }
      text = '';
      start = next;
    };
    for (let column = 0; column < end; column++) {
      const cell = line.getCell(column)!;
      if (styleOf(cell) !== style) {
        flush(column);
        style = styleOf(cell);
      }
      text += cell.getChars() || (cell.getWidth() === 0 ? '' : ' ');
    }
    flush(end);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${Math.ceil(width)}" height="${Math.ceil(height)}" viewBox="0 0 ${width.toFixed(1)} ${height}" role="img" font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14">
<title>${escaped(title).replaceAll('\u00a0', ' ')}</title>
<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>
${rows.join('\n')}
</svg>
`;
}
