/** The tables of `npm run bench:restore`, and what they are held against. */

export interface Row {
  readonly fileSystem: 'ext4' | 'xfs';
  readonly tree: string;
  readonly work: '1% changed' | 'everything changed';
  readonly program: string;
  readonly seconds: number;
  readonly bytesWritten: number;
  /** Content of the files that changed, about. */
  readonly bytesChanged: number;
}

export interface Report {
  readonly at: string;
  readonly machine: string;
  readonly repetitions: number;
  readonly quick: boolean;
  readonly rows: readonly Row[];
}

export const PLAYBOOK = 'playbook';
export const EXTRACT = 'tar -xzf; sync -f';
export const OURS = 'km-backup';
export const OURS_COMMITTED = 'km-backup --commit';

interface Aim {
  readonly text: string;
  readonly met: boolean;
}

/** The row of the same work by another program. */
function peerOf(row: Row, program: string, rows: readonly Row[]): Row | undefined {
  return rows.find(
    (other) =>
      other.program === program &&
      other.fileSystem === row.fileSystem &&
      other.tree === row.tree &&
      other.work === row.work,
  );
}

/** What a row has to reach; nothing for those of other programs. */
export function aimsOf(row: Row, rows: readonly Row[]): Aim[] {
  if (row.program !== OURS && row.program !== OURS_COMMITTED) return [];
  const time = (program: string, factor: number): Aim[] => {
    const peer = peerOf(row, program, rows);
    return peer ? [{ text: `<= ${factor}x of ${program}`, met: row.seconds <= factor * peer.seconds }] : [];
  };
  if (row.work === 'everything changed') return row.program === OURS ? time(EXTRACT, 1) : [];
  const sharesOrLinks = row.fileSystem === 'xfs' || row.program === OURS_COMMITTED;
  return [
    ...time(PLAYBOOK, 0.2),
    ...(sharesOrLinks
      ? [{ text: 'writes <= 2x of what changed', met: row.bytesWritten <= 2 * row.bytesChanged }]
      : []),
  ];
}

const head = ['File system', 'Tree', 'Work', 'Program', 'Time', 'Of the playbook', 'Written', 'Aim', 'Met'];

export function cells(row: Row, rows: readonly Row[]): string[] {
  const playbook = peerOf(row, PLAYBOOK, rows);
  const aims = aimsOf(row, rows);
  return [
    row.fileSystem,
    row.tree,
    row.work,
    row.program,
    `${row.seconds.toFixed(2)} s`,
    playbook ? `${(row.seconds / playbook.seconds).toFixed(2)}x` : '-',
    `${(row.bytesWritten / 1e6).toFixed(1)} MB`,
    aims.map(({ text }) => text).join('; ') || '-',
    aims.map(({ met }) => (met ? 'yes' : 'no')).join('; ') || '-',
  ];
}

export function toTable(rows: readonly Row[]): string {
  const lines = [head, head.map(() => '---'), ...rows.map((row) => cells(row, rows))];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** @param notes Markdown that goes below the table. */
export function toMarkdown({ at, machine, repetitions, quick, rows }: Report, notes: string): string {
  return `# Benchmarks of restores

Written by \`npm run bench:restore -- --write\` on ${at}: ${machine}. Median of ${repetitions}${quick ? ', small trees (`--quick`)' : ''}. A tree is backed up, a share of its files changes, and it is restored in place. Each run has a fresh file system and a backup of its own. Times end when everything is on disk. "Written" counts what reaches the disk, with metadata and journal.

${toTable(rows)}

${notes}`;
}
