/*
 * `npm run bench:restore`: restores a tree of which a share has changed since its backup, on loop-mounted ext4 and XFS,
 * compared with the steps of the playbook (copy, extract, rm, mv), and with restic and kopia in place. Needs root.
 * `--quick`: smaller trees, one repetition. `--json`: prints JSON. `--only ext4,xfs,cluster`: only these file systems, or
 * only a KmRestore and the playbook's steps by kubectl, of the small tree on a real cluster.
 * `--trees small,large` and `--programs km,playbook,…`: only these.
 * `--write`: updates docs/benchmarks-restore.md. Rows that were not measured now keep their figures, from figures.json.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildPrograms } from '../scripts/build.ts';
import { chosen, commandLine, numberOf } from '../scripts/command-line.ts';
import { elapsedLog } from '../test/cluster/index.ts';
import { ensureKopia, ensureRestic } from '../test/support/s3-server.ts';
import { apply, buildTrees, type Tree } from './archive/trees.ts';
import { type Measured as MeasuredRun, measure, median } from './measure.ts';
import { compareOnCluster } from './restore/cluster.ts';
import {
  cells,
  EXTRACT,
  merged,
  OURS,
  OURS_COMMITTED,
  PLAYBOOK,
  type Report,
  type Row,
  toClusterTable,
  toMarkdown,
  toTable,
} from './restore/report.ts';

const FILE_SYSTEMS = ['ext4', 'xfs'] as const;
type FileSystem = (typeof FILE_SYSTEMS)[number];
const PLACES = [...FILE_SYSTEMS, 'cluster'] as const;
const TREES = ['small', 'large'] as const;
const PROGRAMS = ['playbook', 'tar', 'km', 'restic', 'kopia'] as const;

const options = commandLine(
  {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    repetitions: { type: 'string' },
    only: { type: 'string', default: PLACES.join(',') },
    trees: { type: 'string', default: TREES.join(',') },
    programs: { type: 'string', default: PROGRAMS.join(',') },
  },
  (flags) => ({
    ...flags,
    only: chosen('--only', flags.only, PLACES),
    trees: chosen('--trees', flags.trees, TREES),
    programs: chosen('--programs', flags.programs, PROGRAMS),
    repetitions: numberOf('--repetitions', flags.repetitions ?? (flags.quick ? '1' : '3'), {
      least: 1,
      whole: true,
    }),
  }),
);

const SECTOR = 512;
/** A backup reads files again that changed this shortly before it: see docs/archive-format.md. */
const TICK_MS = 2_100;
const SHARES = [
  { name: '1% changed', share: 0.01 },
  { name: 'everything changed', share: 1 },
] as const;

const checkout = path.join(import.meta.dirname, '..');
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'km-bench-restore-'));
const at = (...names: string[]) => path.join(work, ...names);
const volume = at('volume');
const live = path.join(volume, 'live');
const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
const environment = {
  ...process.env,
  RESTIC_PASSWORD: 'bench',
  RESTIC_CACHE_DIR: at('restic-cache'),
  KOPIA_PASSWORD: 'bench',
  KOPIA_CONFIG_PATH: at('kopia.config'),
  KOPIA_CACHE_DIRECTORY: at('kopia-cache'),
  KOPIA_LOG_DIR: at('kopia-logs'),
  KOPIA_CHECK_FOR_UPDATES: 'false',
};

interface Contender {
  readonly name: string;
  /** Makes the backup, before anything changes. */
  readonly backUp: () => void;
  readonly restore: () => readonly string[];
}

interface Measured extends MeasuredRun {
  readonly bytesWritten: number;
}

function must(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: environment });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: status ${status}\n${stderr}`);
  return stdout.trim();
}

const km = (...args: string[]) => [process.execPath, path.join(checkout, 'dist/km-backup.js'), ...args];
const mustKm = (...args: string[]) => must(km()[0]!, ...km().slice(1), ...args);
const empty = (directory: string) => {
  fs.rmSync(directory, { recursive: true, force: true });
  fs.mkdirSync(directory);
};

function backUpByKm(): void {
  empty(at('archives'));
  mustKm('create', '--source', live, '--destination', at('archives'), '--progress', 'none');
}

const archive = () => at('archives', fs.readdirSync(at('archives')).find((name) => name.endsWith('.tgz'))!);

interface Peers {
  readonly restic: string;
  readonly kopia: string;
}

function contenders({ restic, kopia }: Peers): Contender[] {
  const byKm = (name: string, ...flags: string[]): Contender => ({
    name,
    backUp: backUpByKm,
    restore: () => km('restore', '--progress', 'none', ...flags, archive(), live),
  });
  const byScript = (name: string, lines: (file: string) => string[]): Contender => ({
    name,
    backUp: backUpByKm,
    restore: () => ['bash', '-euc', lines(quote(archive())).join('\n')],
  });
  const staging = quote(path.join(volume, 'staging'));
  const [from, to] = [quote(live), quote(volume)];
  return [
    byScript(PLAYBOOK, (file) => [
      `cp ${file} ${quote(at('copy.tgz'))}`,
      `mkdir ${staging}; tar -xzf ${quote(at('copy.tgz'))} -C ${staging}`,
      `rm -rf ${from}; mv ${staging} ${from}; sync -f ${to}`,
    ]),
    byScript(EXTRACT, (file) => [`mkdir ${staging}; tar -xzf ${file} -C ${staging}; sync -f ${to}`]),
    byKm(OURS),
    byKm(OURS_COMMITTED, '--commit'),
    byKm('km-backup --reuse off', '--reuse', 'off'),
    {
      name: 'restic',
      backUp: () => {
        empty(at('restic'));
        must(restic, '-q', '-r', at('restic'), 'init');
        must('bash', '-euc', `cd ${from}; ${quote(restic)} -q -r ${quote(at('restic'))} backup .`);
      },
      restore: () => [
        'bash',
        '-euc',
        `${quote(restic)} -q -r ${quote(at('restic'))} restore latest --delete --target ${from}; sync -f ${to}`,
      ],
    },
    {
      name: 'kopia',
      backUp: () => {
        empty(at('kopia'));
        must(kopia, 'repository', 'create', 'filesystem', '--path', at('kopia'));
        must(kopia, 'snapshot', 'create', '--no-progress', live);
      },
      restore: () => [
        'bash',
        '-euc',
        `${quote(kopia)} restore --no-progress --skip-existing --delete-extra "$(${quote(kopia)} snapshot list --json ${from} | grep -om1 '"id":"[^"]*"' | cut -d'"' -f4)" ${from}; sync -f ${to}`,
      ],
    },
  ];
}

let images = 0;

/**
 * Each file system has an image of its own. Where another mount namespace still holds the last one, its loop device would
 * be used again, with what is on it.
 *
 * @returns Its device.
 */
function mount(fileSystem: FileSystem, bytes: number): string {
  const image = at(`image-${images++}`);
  fs.writeFileSync(image, '');
  try {
    fs.truncateSync(image, bytes);
    if (fileSystem === 'ext4') must('mkfs.ext4', '-q', '-m', '0', image);
    else must('mkfs.xfs', '-q', '-f', '-m', 'reflink=1', image);
    must('mount', '-o', 'loop', image, volume);
  } finally {
    fs.unlinkSync(image);
  }
  return path.basename(must('findmnt', '-no', 'SOURCE', volume));
}

function written(device: string): number {
  const fields = fs.readFileSync(`/sys/block/${device}/stat`, 'utf8').trim().split(/\s+/);
  return Number(fields[6]) * SECTOR;
}

/** A volume and a backup of its own, because a restore changes inodes. */
async function once(fileSystem: FileSystem, tree: Tree, share: number, by: Contender): Promise<Measured> {
  const device = mount(fileSystem, Math.max(1e9, tree.bytes * 4));
  try {
    must('cp', '-a', tree.path, live);
    must('sync', '-f', volume);
    await sleep(TICK_MS);
    by.backUp();
    apply({ ...tree, path: live }, share, 0);
    must('sync', '-f', volume);
    // Every program finds the tree in the page cache.
    must('bash', '-c', `tar -c ${quote(live)} 2> /dev/null | cat > /dev/null`);
    const command = by.restore();
    const before = written(device);
    const measured = measure(command, { env: environment });
    must('sync', '-f', volume);
    return { ...measured, bytesWritten: written(device) - before };
  } finally {
    must('umount', volume);
  }
}

async function compare(fileSystem: FileSystem, tree: Tree, peers: Peers): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { name: task, share } of SHARES) {
    for (const by of contenders(peers)) {
      if (!options.programs.some((program) => by.name.startsWith(program))) continue;
      const runs: Measured[] = [];
      for (let turn = 0; turn < options.repetitions; turn++)
        runs.push(await once(fileSystem, tree, share, by));
      const row: Row = {
        fileSystem,
        tree: tree.name,
        quick: options.quick,
        work: task,
        program: by.name,
        at: new Date().toISOString(),
        repetitions: options.repetitions,
        seconds: median(runs.map((run) => run.seconds)),
        cpuSeconds: median(runs.map((run) => run.cpuSeconds)),
        bytesWritten: median(runs.map((run) => run.bytesWritten)),
        bytesChanged: tree.bytes * share,
      };
      rows.push(row);
      process.stderr.write(`${cells(row, rows).join('  ')}\n`);
    }
  }
  return rows;
}

try {
  fs.mkdirSync(volume);
  const fileSystems = FILE_SYSTEMS.filter((fileSystem) => options.only.includes(fileSystem));
  const rows: Row[] = [];
  if (fileSystems.length > 0) {
    const peers = { restic: await ensureRestic(), kopia: await ensureKopia() };
    await buildPrograms();
    for (const tree of buildTrees(work, checkout, options.quick, options.trees)) {
      using built = tree;
      for (const fileSystem of fileSystems) rows.push(...(await compare(fileSystem, built, peers)));
    }
  }
  const cluster = options.only.includes('cluster')
    ? await compareOnCluster(
        buildTrees(work, checkout, options.quick, ['small']),
        { ...options, share: SHARES[0].share },
        elapsedLog(process.stderr),
      )
    : [];
  const machine = `${os.cpus().length} cores, ${os.cpus()[0]?.model ?? ''}, ${os.type()} ${os.release()}, Node.js ${process.version}`;
  const report: Report = { machine, rows, cluster };
  if (options.write) {
    const file = (name: string) => path.join(import.meta.dirname, 'restore', name);
    const earlier = JSON.parse(fs.readFileSync(file('figures.json'), 'utf8')) as Report;
    const all = merged(report, earlier);
    fs.writeFileSync(file('figures.json'), `${JSON.stringify(all, null, 2)}\n`);
    const notes = fs.readFileSync(file('notes.md'), 'utf8');
    fs.writeFileSync(path.join(checkout, 'docs/benchmarks-restore.md'), toMarkdown(all, notes));
  }
  const tables = [rows.length > 0 && toTable(rows), cluster.length > 0 && toClusterTable(cluster)];
  process.stdout.write(
    `${options.json ? JSON.stringify(report, null, 2) : tables.filter(Boolean).join('\n\n')}\n`,
  );
} finally {
  spawnSync('umount', ['-q', volume]);
  fs.rmSync(work, { recursive: true, force: true });
}
