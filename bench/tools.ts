/*
 * `npm run bench:tools`: `km-backup diff` and `history` on trees of many files, beside `restic diff` and `find`, and
 * `kopia diff`. All programs run as installed, on the same two states of a tree of which 1% of the files changed.
 * `--entries`: files of the tree (default 1000000). `--repetitions`: turns, of which the median counts (default 3).
 * `--work`: folder for the tree and the repositories. `--json`: prints JSON.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildPrograms } from '../scripts/build.ts';
import { commandLine, numberOf } from '../scripts/command-line.ts';
import { ensureRestic } from '../test/support/s3-server.ts';
import { type Measured, measure, run, summarize } from './measure.ts';
import { ensureKopia } from './tools/kopia.ts';

const options = commandLine(
  {
    entries: { type: 'string', default: '1000000' },
    repetitions: { type: 'string', default: '3' },
    work: { type: 'string', default: os.tmpdir() },
    json: { type: 'boolean', default: false },
  },
  (flags) => ({
    ...flags,
    entries: numberOf('--entries', flags.entries, { least: 1000, whole: true }),
    repetitions: numberOf('--repetitions', flags.repetitions, { least: 1, whole: true }),
  }),
);

const FOLDER_FILES = 1000;
const CHANGED_EVERY = 100;

const checkout = path.join(import.meta.dirname, '..');
const work = fs.mkdtempSync(path.join(options.work, 'km-bench-tools-'));
const at = (...names: string[]) => path.join(work, ...names);
const nameOf = (file: number) => `folder-${Math.floor(file / FOLDER_FILES)}/file-${file}`;
const log = (text: string) => void process.stderr.write(`${text}\n`);

const environment = {
  ...process.env,
  RESTIC_PASSWORD: 'bench',
  RESTIC_REPOSITORY: at('restic'),
  RESTIC_CACHE_DIR: at('restic-cache'),
  KOPIA_PASSWORD: 'bench',
  KOPIA_CONFIG_PATH: at('kopia.config'),
  KOPIA_CACHE_DIRECTORY: at('kopia-cache'),
  KOPIA_LOG_DIR: at('kopia-log'),
  KOPIA_CHECK_FOR_UPDATES: 'false',
  KM_BACKUP_SOURCE: at('source'),
  KM_BACKUP_DEST: at('archives'),
};
const must = (command: readonly string[]) => run(command, { env: environment, cwd: work });

function writeTree(): void {
  for (let file = 0; file < options.entries; file++) {
    if (file % FOLDER_FILES === 0)
      fs.mkdirSync(at('source', path.dirname(nameOf(file))), { recursive: true });
    fs.writeFileSync(at('source', nameOf(file)), `file ${file}`);
  }
}

/** Writes 1% of the files again, with other content of the same length or longer. */
function changeTree(): void {
  for (let file = 0; file < options.entries; file += CHANGED_EVERY)
    fs.writeFileSync(at('source', nameOf(file)), `changed ${file}`);
}

interface Contender {
  readonly work: string;
  readonly name: string;
  readonly command: readonly string[];
  readonly statuses?: readonly number[];
}

const OURS = 'km-backup';

try {
  await buildPrograms();
  const [restic, kopia] = [await ensureRestic(), await ensureKopia(log)];
  const km = path.join(checkout, 'bin/km-backup');
  log(`writing ${options.entries} files`);
  writeTree();
  must([restic, 'init', '--quiet']);
  must([kopia, 'repository', 'create', 'filesystem', '--path', at('kopia'), '--no-progress']);
  const restics: string[] = [];
  const kopias: string[] = [];
  const backUp = async (state: string) => {
    // A file counts as unchanged by its times only once they are two seconds old when it is read.
    await sleep(2500);
    log(`backing up ${state}`);
    must([km, 'create', '--progress', 'none']);
    must([restic, 'backup', '--quiet', at('source')]);
    must([kopia, 'snapshot', 'create', '--no-progress', at('source')]);
    kopias.push(newest([kopia, 'snapshot', 'list', '--json', '--all']));
    restics.push(newest([restic, 'snapshots', '--json']));
  };
  await backUp('the tree');
  changeTree();
  await backUp('the tree, 1% changed');
  const one = nameOf(Math.floor(options.entries / 2 / CHANGED_EVERY) * CHANGED_EVERY);
  const contenders: Contender[] = [
    { work: 'diff', name: OURS, command: [km, 'diff'] },
    { work: 'diff', name: 'restic', command: [restic, 'diff', restics[0]!, restics[1]!] },
    { work: 'diff', name: 'kopia', command: [kopia, 'diff', kopias[0]!, kopias[1]!] },
    { work: 'history of a file', name: OURS, command: [km, 'history', one] },
    { work: 'history of a file', name: 'restic', command: [restic, 'find', '--long', at('source', one)] },
  ];
  const runs = new Map(contenders.map((contender) => [contender, [] as Measured[]]));
  for (let turn = 0; turn < options.repetitions; turn++) {
    for (const contender of contenders) {
      const { command, statuses = [0] } = contender;
      // What is printed goes to a file, as with a person who redirects it.
      const line = ['bash', '-c', `exec "$@" > ${at('output')}`, 'bash', ...command];
      runs.get(contender)!.push(measure(line, { env: environment, cwd: work, statuses }));
    }
  }
  const results = [...runs].map(([{ work: task, name }, list]) => ({
    work: task,
    contender: name,
    ...summarize(list),
  }));
  if (options.json)
    process.stdout.write(`${JSON.stringify({ entries: options.entries, results }, null, 2)}\n`);
  else process.stdout.write(tableOf(results));
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}

/** The id of the newest snapshot that a command lists. */
function newest(list: readonly string[]): string {
  const snapshots = JSON.parse(must(list)) as { id: string }[];
  return snapshots.at(-1)!.id;
}

function tableOf(results: readonly (Measured & { work: string; contender: string })[]): string {
  const ours = (task: string) =>
    results.find(({ work: each, contender }) => each === task && contender === OURS)!;
  const head = ['Work', 'Program', 'Seconds', 'CPU s', 'Memory MB', 'Ratio', 'CPU ratio'];
  const rows = results.map((row) => {
    const mine = ours(row.work);
    const ratio = (theirs: number, own: number) => (row === mine ? '' : `${(theirs / own).toFixed(1)}x`);
    return [
      row.work,
      row.contender,
      row.seconds.toFixed(2),
      row.cpuSeconds.toFixed(2),
      (row.memoryBytes / 1e6).toFixed(0),
      ratio(row.seconds, mine.seconds),
      ratio(row.cpuSeconds, mine.cpuSeconds),
    ];
  });
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((cells) => cells[column]!.length)));
  const lines = [head, ...rows].map((cells) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  const machine = `${os.cpus()[0]?.model ?? ''}, ${os.cpus().length} CPUs, Node.js ${process.version}`;
  return `${lines.join('\n')}\n${options.entries} files, 1% changed; median of ${options.repetitions}; ${machine}\n`;
}
