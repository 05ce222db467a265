export interface Row {
  readonly tree: string;
  readonly work: string;
  readonly peer: string;
  readonly ours: number;
  readonly theirs: number | null;
  readonly unit: 's' | 'B';
  /** Times: the peer's divided by ours. Sizes: ours divided by the peer's. */
  readonly ratio: number | null;
  readonly aim: number | null;
  /** Seconds of CPU. */
  readonly oursCpu: number | null;
  readonly theirsCpu: number | null;
  /** Bytes. */
  readonly oursMemory: number | null;
  readonly theirsMemory: number | null;
}

export interface Report {
  readonly at: string;
  readonly machine: string;
  readonly repetitions: number;
  readonly quick: boolean;
  readonly rows: readonly Row[];
}

const head = [
  'Tree',
  'Work',
  'Peer',
  'km-backup',
  'Peer took',
  'Ratio',
  'Aim',
  'Met',
  'CPU',
  "Peer's CPU",
  'Memory',
  "Peer's memory",
];

export function toText(report: Report): string {
  const rows = [head, ...report.rows.map(cells)];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n${report.machine}; median of ${report.repetitions}\n`;
}

/** @param limits Markdown that goes below the table. */
export function toMarkdown(report: Report, limits: string): string {
  const line = (row: readonly string[]) =>
    `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return `# Benchmarks of the archive engine

Written by \`npm run bench:archive -- --write\` on ${report.at}: ${report.machine}. Median of ${report.repetitions} turns (of trees over 1 GB: one)${report.quick ? ', small trees (`--quick`)' : ''}, warm cache, the programs taking turns. The ratio of times is the peer's divided by km-backup's: above 1x means km-backup is faster. The ratio of sizes is km-backup's divided by the peer's.

${line(head)}
${line(head.map(() => '---'))}
${report.rows.map((row) => line(cells(row))).join('\n')}

${limits}`;
}

function cells({
  tree,
  work,
  peer,
  ours,
  theirs,
  unit,
  ratio,
  aim,
  oursCpu,
  theirsCpu,
  oursMemory,
  theirsMemory,
}: Row): string[] {
  const format = (value: number | null) => (unit === 's' ? inSeconds(value) : megabytes(value));
  const met =
    ratio === null || aim === null ? '-' : (unit === 's' ? ratio >= aim : ratio <= aim) ? 'yes' : 'no';
  return [
    tree,
    work,
    peer,
    format(ours),
    format(theirs),
    ratio === null ? '-' : `${ratio.toFixed(2)}x`,
    aim === null ? '-' : `${unit === 's' ? '>=' : '<='} ${aim}x`,
    met,
    inSeconds(oursCpu),
    inSeconds(theirsCpu),
    megabytes(oursMemory),
    megabytes(theirsMemory),
  ];
}

function inSeconds(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(2)} s`;
}

function megabytes(bytes: number | null): string {
  return bytes === null ? '-' : `${(bytes / 2 ** 20).toFixed(bytes < 10 * 2 ** 20 ? 1 : 0)} MiB`;
}
