import type { Measured } from '../measure.ts';

export const PARTS = ['tree', 'schedules'] as const;
export type Part = (typeof PARTS)[number];

export interface Row extends Measured {
  readonly work: string;
  readonly program: string;
}

export interface Result {
  readonly at: string;
  readonly machine: string;
  readonly title: string;
  readonly about: string;
  /** The first row of each work is ours. */
  readonly rows: readonly Row[];
}

const HEAD = ['Work', 'Program', 'Time', 'CPU', 'Memory', 'Ratio of times', 'of CPU'];

function cellsOf(row: Row, rows: readonly Row[]): string[] {
  const ours = rows.find(({ work }) => work === row.work)!;
  const ratio = (theirs: number, own: number) => (row === ours ? '' : `${(theirs / own).toFixed(1)}x`);
  return [
    row.work,
    row.program,
    `${row.seconds.toFixed(2)} s`,
    `${row.cpuSeconds.toFixed(2)} s`,
    `${(row.memoryBytes / 2 ** 20).toFixed(0)} MiB`,
    ratio(row.seconds, ours.seconds),
    ratio(row.cpuSeconds, ours.cpuSeconds),
  ];
}

export function toText({ title, rows }: Result): string {
  const table = [HEAD, ...rows.map((row) => cellsOf(row, rows))];
  const widths = HEAD.map((_, column) => Math.max(...table.map((cells) => cells[column]!.length)));
  const lines = table.map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return `${title}\n${lines.join('\n')}\n`;
}

/** @param limits Markdown that goes below the tables. */
export function toMarkdown(results: readonly Result[], limits: string): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const sections = results.map(
    ({ title, about, at, machine, rows }) => `## ${title}

${about} Measured ${at.slice(0, 10)}: ${machine}.

${[HEAD, HEAD.map(() => '---'), ...rows.map((row) => cellsOf(row, rows))].map(line).join('\n')}
`,
  );
  return `# Benchmarks of the tools

Written by \`npm run bench:tools -- --write\`. Times are the median of several turns, the programs taking turns; memory is
the largest of one process. A ratio is the other program's figure divided by ours: above 1x means that ours needs less.

${sections.join('\n')}
${limits}`;
}
