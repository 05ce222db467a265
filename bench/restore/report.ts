/** The tables of `npm run bench:restore`, and what they are held against. */

export interface Row {
  readonly fileSystem: 'ext4' | 'xfs';
  readonly tree: string;
  /** A smaller tree of its kind. */
  readonly quick: boolean;
  readonly work: '1% changed' | 'everything changed';
  readonly program: string;
  readonly at: string;
  readonly repetitions: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly bytesWritten: number;
  /** Content of the files that changed, about. */
  readonly bytesChanged: number;
}

/** A restore of a claim with its workload, on a cluster. */
export interface ClusterRow {
  readonly tree: string;
  /** A smaller tree of its kind. */
  readonly quick: boolean;
  readonly files: number;
  readonly bytes: number;
  readonly program: string;
  readonly at: string;
  readonly repetitions: number;
  readonly seconds: number;
  /** Of the whole machine, with the cluster. */
  readonly cpuSeconds: number;
}

export interface Report {
  readonly machine: string;
  readonly rows: readonly Row[];
  readonly cluster: readonly ClusterRow[];
}

export const PLAYBOOK = 'playbook';
export const EXTRACT = 'tar -xzf; sync -f';
export const OURS = 'km-backup';
export const OURS_COMMITTED = 'km-backup --commit';
export const BY_KUBECTL = 'playbook by kubectl';
export const KM_RESTORE = 'KmRestore';

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
      other.quick === row.quick &&
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

/** Rows of both; of a case that both have, the new one. Figures of another machine are left out. */
export function merged(report: Report, earlier: Report): Report {
  const comparable = earlier.machine === report.machine;
  const keyOf = ({ fileSystem, tree, quick, work, program }: Row) =>
    [fileSystem, tree, quick, work, program].join('/');
  const rows = new Map((comparable ? earlier.rows : []).map((row) => [keyOf(row), row]));
  for (const row of report.rows) rows.set(keyOf(row), row);
  const order = (row: Row) => [row.fileSystem, row.tree === 'small' ? 0 : 1, row.quick, row.work].join('/');
  const cluster = new Map(
    [...(comparable ? earlier.cluster : []), ...report.cluster].map(
      (row) => [`${row.quick}/${row.tree}/${row.program}`, row] as const,
    ),
  );
  return {
    ...report,
    cluster: [...cluster.values()],
    rows: [...rows.values()].sort((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0)),
  };
}

const head = [
  'File system',
  'Tree',
  'Work',
  'Program',
  'Time',
  'CPU',
  'Of the playbook',
  'Written',
  'Aim',
  'Met',
];

export function cells(row: Row, rows: readonly Row[]): string[] {
  const playbook = peerOf(row, PLAYBOOK, rows);
  const aims = aimsOf(row, rows);
  return [
    row.fileSystem,
    row.quick ? `${row.tree} (quick)` : row.tree,
    row.work,
    row.program,
    `${row.seconds.toFixed(2)} s`,
    `${row.cpuSeconds.toFixed(2)} s`,
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

const clusterHead = [
  'Tree',
  'Work',
  'Program',
  'Time',
  'Of the playbook',
  'CPU of the machine',
  'Aim',
  'Met',
];

function clusterCells(row: ClusterRow, rows: readonly ClusterRow[]): string[] {
  const peer = rows.find(
    ({ program, tree, quick }) => program === BY_KUBECTL && tree === row.tree && quick === row.quick,
  );
  const aimed = peer && row.program === KM_RESTORE;
  return [
    `${row.tree}${row.quick ? ' (quick)' : ''}: ${row.files} files, ${(row.bytes / 1e6).toFixed(0)} MB`,
    '1% changed',
    row.program,
    `${row.seconds.toFixed(2)} s`,
    peer ? `${(row.seconds / peer.seconds).toFixed(2)}x` : '-',
    `${row.cpuSeconds.toFixed(1)} s`,
    aimed ? `faster than ${BY_KUBECTL}` : '-',
    aimed ? (row.seconds < peer.seconds ? 'yes' : 'no') : '-',
  ];
}

export function toClusterTable(rows: readonly ClusterRow[]): string {
  const lines = [clusterHead, clusterHead.map(() => '---'), ...rows.map((row) => clusterCells(row, rows))];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** @param notes Markdown that goes below the table. */
export function toMarkdown({ machine, rows, cluster }: Report, notes: string): string {
  const all = [...rows, ...cluster];
  const days = [...new Set(all.map(({ at }) => at.slice(0, 10)))].sort().join(', ');
  const repetitions = [...new Set(all.map((row) => row.repetitions))].sort().join(' or ');
  return `# Benchmarks of restores

Written by \`npm run bench:restore -- --write\` on ${days}: ${machine}. Median of ${repetitions}. Trees marked quick are smaller (\`--quick\`). A tree is backed up, a share of its files changes, and it is restored in place. Each run has a fresh file system and a backup of its own. Times end when everything is on disk. "Written" counts what reaches the disk, with metadata and journal.

${toTable(rows)}

## On a cluster

A Deployment of one replica uses a claim. 1% of its files change after a backup to another claim, and the claim is restored. Times run from the first command until the restore has succeeded and the Deployment is ready again. Both take turns. The CPU is that of the whole machine, with the cluster on it.

${toClusterTable(cluster)}

${notes}`;
}
