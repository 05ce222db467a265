/** Differences and history of a tree of many files, beside other programs. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../../test/cluster/index.ts';
import { ensureKopia, ensureRestic } from '../../test/support/s3-server.ts';
import { type Measured, measure, run, summarize } from '../measure.ts';
import type { Result } from './report.ts';

export interface TreeOptions {
  readonly entries: number;
  readonly repetitions: number;
}

const FOLDER_FILES = 1000;
const CHANGED_EVERY = 100;
const KM_BACKUP = path.join(import.meta.dirname, '../../bin/km-backup');

const nameOf = (file: number) => `folder-${Math.floor(file / FOLDER_FILES)}/file-${file}`;

const environment = (state: string) => ({
  ...process.env,
  RESTIC_PASSWORD: 'bench',
  RESTIC_REPOSITORY: path.join(state, 'restic'),
  RESTIC_CACHE_DIR: path.join(state, 'restic-cache'),
  KOPIA_PASSWORD: 'bench',
  KOPIA_CONFIG_PATH: path.join(state, 'kopia.config'),
  KOPIA_CACHE_DIRECTORY: path.join(state, 'kopia-cache'),
  KOPIA_LOG_DIR: path.join(state, 'kopia-log'),
  KOPIA_CHECK_FOR_UPDATES: 'false',
  KM_BACKUP_SOURCE: path.join(state, 'source'),
  KM_BACKUP_DEST: path.join(state, 'archives'),
});

/** Ids of the snapshots, oldest first: the tree, with 1% changed, with all changed. */
interface Snapshots {
  readonly entries: number;
  readonly restic: readonly string[];
  readonly kopia: readonly string[];
}

const snapshotsFile = (state: string) => path.join(state, 'snapshots.json');

/** Backs up three states of the tree with every program, unless that was done. */
export async function prepareTree(state: string, { entries }: TreeOptions, log: Log): Promise<void> {
  if (fs.existsSync(snapshotsFile(state))) return;
  const [restic, kopia] = [await ensureRestic(), await ensureKopia()];
  const must = (...command: string[]) => run(command, { env: environment(state), cwd: state });
  const write = (every: number, text: string) => {
    for (let file = 0; file < entries; file += every) {
      const name = path.join(state, 'source', nameOf(file));
      if (file % FOLDER_FILES === 0) fs.mkdirSync(path.dirname(name), { recursive: true });
      fs.writeFileSync(name, `${text} ${file}`);
    }
  };
  must(restic, 'init', '--quiet');
  must(kopia, 'repository', 'create', 'filesystem', '--path', path.join(state, 'kopia'), '--no-progress');
  const snapshots = { entries, restic: [] as string[], kopia: [] as string[] };
  for (const [every, text] of [
    [1, 'file'],
    [CHANGED_EVERY, 'changed'],
    [1, 'another'],
  ] as const) {
    log(`writing ${Math.ceil(entries / every)} files`);
    write(every, text);
    // A file counts as unchanged by its times only once they are two seconds old when it is read.
    await sleep(2500);
    log('backing up');
    const source = path.join(state, 'source');
    must(KM_BACKUP, 'create', '--progress', 'none');
    must(restic, 'backup', '--quiet', source);
    must(kopia, 'snapshot', 'create', '--no-progress', source);
    const newest = (list: string) => (JSON.parse(list) as { id: string }[]).at(-1)!.id;
    snapshots.kopia.push(newest(must(kopia, 'snapshot', 'list', '--json', '--all')));
    snapshots.restic.push(newest(must(restic, 'snapshots', '--json')));
  }
  fs.rmSync(path.join(state, 'source'), { recursive: true });
  fs.writeFileSync(snapshotsFile(state), JSON.stringify(snapshots));
}

interface Contender {
  readonly work: string;
  readonly program: string;
  readonly command: readonly string[];
}

export async function measureTree(
  state: string,
  { repetitions }: TreeOptions,
): Promise<Omit<Result, 'at' | 'machine'>> {
  const snapshots = JSON.parse(fs.readFileSync(snapshotsFile(state), 'utf8')) as Snapshots;
  const { entries } = snapshots;
  const [restic, kopia] = [await ensureRestic(), await ensureKopia()];
  const archives = fs
    .readdirSync(path.join(state, 'archives'))
    .filter((name) => name.endsWith('.tgz'))
    .sort();
  const diffs = (work: string, from: number, to: number): Contender[] => [
    { work, program: 'km-backup', command: [KM_BACKUP, 'diff', archives[from]!, archives[to]!] },
    { work, program: 'restic', command: [restic, 'diff', snapshots.restic[from]!, snapshots.restic[to]!] },
    { work, program: 'kopia', command: [kopia, 'diff', snapshots.kopia[from]!, snapshots.kopia[to]!] },
  ];
  const one = nameOf(Math.floor(entries / 2 / CHANGED_EVERY) * CHANGED_EVERY);
  const history = 'history of a file';
  const contenders: Contender[] = [
    ...diffs('diff, 1% changed', 0, 1),
    ...diffs('diff, all changed', 1, 2),
    { work: history, program: 'km-backup', command: [KM_BACKUP, 'history', one] },
    {
      work: history,
      program: 'restic',
      command: [restic, 'find', '--long', path.join(state, 'source', one)],
    },
  ];
  const runs = new Map(contenders.map((contender) => [contender, [] as Measured[]]));
  for (let turn = 0; turn < repetitions; turn++) {
    for (const contender of contenders) {
      // What is printed goes to a file, as with a person who redirects it.
      const line = ['bash', '-c', `exec "$@" > ${path.join(state, 'output')}`, 'bash', ...contender.command];
      runs.get(contender)!.push(measure(line, { env: environment(state), cwd: state }));
    }
  }
  return {
    title: `A tree of ${entries.toLocaleString('en')} files`,
    about:
      'Each file has a few bytes. Of the three archives, the second differs in 1% of the files, the third in all.',
    rows: [...runs].map(([{ work, program }, list]) => ({ work, program, ...summarize(list) })),
  };
}
