/** What `npm run bench:offsite` measured, held against its aims, and its page. */

export const WORKS = ['first', 'next', 'one', 'days'] as const;
export type Work = (typeof WORKS)[number];

export interface Row {
  /** The part of the bench that measured it: rows of one run replace those of an earlier run of the same part. */
  readonly part: Work;
  readonly work: string;
  readonly program: string;
  readonly seconds: number | null;
  readonly memoryBytes: number | null;
  /** What the server's directory grew by, or holds. */
  readonly storedBytes: number | null;
  readonly aims: readonly Aim[];
}

export interface Aim {
  readonly text: string;
  readonly value: number;
  /** Absent where the figure is only said. */
  readonly met?: boolean;
}

export interface Part {
  readonly part: Work;
  readonly at: string;
  readonly machine: string;
  readonly what: string;
  readonly rows: readonly Row[];
}

/** @param limit the value may be at most this, or at least where `least` */
export function aim(text: string, value: number, limit: number, least = false): Aim {
  return { text, value, met: least ? value >= limit : value <= limit };
}

/** Parts that were measured now, and those of earlier runs that were not. */
export function merged(earlier: readonly Part[], now: readonly Part[]): Part[] {
  return WORKS.flatMap((work) => {
    const part = [...now, ...earlier].find((one) => one.part === work);
    return part ? [part] : [];
  });
}

const HEAD = ['Work', 'Program', 'Time', 'Stored', 'Memory', 'Aim', 'Is', 'Met'];

function cells({ work, program, seconds, storedBytes, memoryBytes, aims }: Row): string[] {
  const mb = (bytes: number | null, digits: number) =>
    bytes === null ? '-' : `${(bytes / 1e6).toFixed(digits)} MB`;
  const each = (of: (one: Aim) => string) => aims.map(of).join('; ') || '-';
  return [
    work,
    program,
    seconds === null ? '-' : `${seconds.toFixed(2)} s`,
    mb(storedBytes, 1),
    mb(memoryBytes, 0),
    each(({ text }) => text),
    each(({ value }) => `${value.toFixed(2)}x`),
    each(({ met }) => (met === undefined ? '-' : met ? 'yes' : 'no')),
  ];
}

export function toTable(parts: readonly Part[]): string {
  const rows = [HEAD, HEAD.map(() => '---'), ...parts.flatMap(({ rows: of }) => of.map(cells))];
  return rows.map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`).join('\n');
}

/** @param notes Markdown that goes below the table */
export function toMarkdown(parts: readonly Part[], notes: string): string {
  const runs = parts.map(({ rows, at, what, machine }) => {
    const works = [...new Set(rows.map(({ work }) => work))].join(', ');
    return `- ${works}: ${at}; ${what}; ${machine}.`;
  });
  return `# Benchmarks of copies off the cluster

Written by \`npm run bench:offsite -- --write\`. All programs store to the same versitygw on loopback, one after the other in the same run, each once what was written before is on disk. One file is the median of five turns. "Stored" is what the files of the server grew by, lists and manifests included. The memory is the peak of the largest process. An aim's figure is km-backup's divided by the peer's; with "faster", the peer's divided by km-backup's.

${toTable(parts)}

${runs.join('\n')}

${notes}`;
}
