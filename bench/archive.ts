import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildPrograms } from '../scripts/build.ts';
import { chosen, commandLine, numberOf } from '../scripts/command-line.ts';
import { type Row, toMarkdown, toText } from './archive/report.ts';
import { apply, buildTrees, TREES, type Tree } from './archive/trees.ts';
import { quote, type Results, Turns } from './archive/turns.ts';

/*
 * `npm run bench:archive`: compares km-backup with its alternatives on the same trees, with a warm cache.
 * `--quick`: smaller trees, one repetition. `--only small,large,mixed,memory`: only these parts.
 * `--json`: prints JSON. `--write`: updates the page in docs/.
 */

const PARTS = [...TREES, 'memory'] as const;
const options = commandLine(
  {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    repetitions: { type: 'string' },
    only: { type: 'string', default: PARTS.join(',') },
  },
  (flags) => ({
    ...flags,
    only: chosen('--only', flags.only, PARTS),
    repetitions: numberOf('--repetitions', flags.repetitions ?? (flags.quick ? '1' : '3'), {
      least: 1,
      whole: true,
    }),
  }),
);
const { repetitions } = options;
const checkout = path.join(import.meta.dirname, '..');
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'km-bench-'));
const at = (...names: string[]) => path.join(work, ...names);

const environment = {
  ...process.env,
  RESTIC_PASSWORD: 'bench',
  RESTIC_CACHE_DIR: at('restic-cache'),
  BORG_BASE_DIR: at('borg-base'),
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
};

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

const turns = new Turns(work, environment, repetitions);
const must = (...command: readonly string[]) => turns.must(...command);

function remove(...names: string[]): void {
  for (const name of names) fs.rmSync(at(name), { recursive: true, force: true });
}

function ensurePeers(): void {
  const packages = { pigz: 'pigz', restic: 'restic', borg: 'borgbackup', time: 'time' };
  const missing = Object.entries(packages).filter(([program]) => spawnSync('which', [program]).status !== 0);
  if (missing.length > 0) must('apt-get', 'install', '-y', ...missing.map(([, name]) => name));
}

const km = (...args: string[]) => [
  process.execPath,
  // As in bin/km-backup.
  '--max-semi-space-size=8',
  path.join(checkout, 'dist/km-backup.js'),
  ...args,
];
const create = (tree: Pick<Tree, 'path'>, compression: string, ...args: string[]) =>
  km(
    'create',
    '--source',
    tree.path,
    '--destination',
    at(`km-${compression}`),
    '--compression',
    compression,
    '--progress',
    'none',
    ...args,
  );
const shell = (script: string) => ['bash', '-o', 'pipefail', '-c', script];
/** A live database changes while it is read; each program reports that with its own status. */
const incompleteIsFine = [0, 1, 3];

const rows: Row[] = [];

function record(tree: string, task: string, results: Results, aims: Record<string, number>): void {
  const ours = results.get('km-backup')!;
  for (const [peer, { seconds, cpuSeconds, memoryBytes }] of results) {
    if (peer === 'km-backup') continue;
    const row = {
      tree,
      work: task,
      peer,
      ours: ours.seconds,
      theirs: seconds,
      unit: 's' as const,
      ratio: seconds / ours.seconds,
      aim: aims[peer] ?? null,
      oursCpu: ours.cpuSeconds,
      theirsCpu: cpuSeconds,
      oursMemory: ours.memoryBytes,
      theirsMemory: memoryBytes,
    } satisfies Row;
    rows.push(row);
    say(
      `  ${task}: ${row.ratio.toFixed(2)}x ${peer} (${row.ours.toFixed(2)} s against ${row.theirs.toFixed(2)} s)`,
    );
  }
}

function newestArchive(directory: string, ending: string): string {
  const name = fs
    .readdirSync(at(directory))
    .filter((each) => each.endsWith(ending))
    .sort()
    .at(-1)!;
  return at(directory, name);
}

function benchTree(tree: Tree): void {
  say(`${tree.name}: ${tree.files} files, ${(tree.bytes / 1e6).toFixed(0)} MB`);
  const tgz = {
    name: 'tar -czf',
    command: ['tar', '-czf', at('tar.tgz'), '-C', tree.path, '.'],
    statuses: incompleteIsFine,
  };
  record(
    tree.name,
    'first backup, .tgz',
    turns.compare(tree, [
      {
        name: 'km-backup',
        prepare: () => remove('km-gzip'),
        command: create(tree, 'gzip'),
        statuses: incompleteIsFine,
      },
      tgz,
      {
        name: 'tar | pigz',
        command: shell(`tar -c -C ${quote(tree.path)} . | pigz > ${at('pigz.tgz')}`),
        statuses: incompleteIsFine,
      },
    ]),
    { 'tar -czf': 3, 'tar | pigz': 1.3 },
  );
  const ours = fs.statSync(newestArchive('km-gzip', '.tgz')).size;
  const theirs = fs.statSync(at('tar.tgz')).size;
  rows.push({
    tree: tree.name,
    work: 'size of the .tgz',
    peer: 'tar -czf',
    ours,
    theirs,
    unit: 'B',
    ratio: ours / theirs,
    aim: 1.03,
    oursCpu: null,
    theirsCpu: null,
    oursMemory: null,
    theirsMemory: null,
  });

  const restic = {
    name: 'restic',
    command: ['restic', '-q', '-r', at('restic'), 'backup', '.'],
    cwd: tree.path,
    statuses: incompleteIsFine,
  };
  const borg = {
    name: 'borg',
    command: shell(`borg create ${at('borg')}::$(date +%s%N) .`),
    cwd: tree.path,
    statuses: incompleteIsFine,
  };
  record(
    tree.name,
    'first backup, zstd',
    turns.compare(tree, [
      {
        name: 'km-backup',
        prepare: () => remove('km-zstd'),
        command: create(tree, 'zstd'),
        statuses: incompleteIsFine,
      },
      {
        ...restic,
        prepare: () => {
          remove('restic', 'restic-cache');
          must('restic', '-q', '-r', at('restic'), 'init');
        },
      },
      {
        ...borg,
        prepare: () => {
          remove('borg', 'borg-base');
          must('borg', 'init', '-e', 'none', at('borg'));
        },
      },
    ]),
    { restic: 1.5, borg: 1.5 },
  );

  // km-backup reads files again that changed within the file system's clock tick; that is not measured here.
  say('  waiting 3 s for the trees to settle');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3000);
  turns.once({ name: 'km-backup', command: create(tree, 'gzip'), statuses: incompleteIsFine }, []);
  let generation = 0;
  const change = () => apply(tree, 0.01, generation++);
  change();
  const repeat = turns.compare(
    tree,
    [{ name: 'km-backup', command: create(tree, 'gzip'), statuses: incompleteIsFine }, tgz, restic, borg],
    [tree.path, at('km-gzip'), at('restic'), at('borg')],
    change,
  );
  record(tree.name, 'repeat backup, 1% of files changed', repeat, { 'tar -czf': 10, restic: 3, borg: 3 });

  const archive = newestArchive('km-gzip', '.tgz');
  const archives = [at('km-gzip'), at('tar.tgz'), at('restic')];
  // A new name for each turn: removing a tree would slow the file system down for the next program.
  let turn = 0;
  const restored = (name: string) => at('restored', `${name}-${turn}`);
  record(
    tree.name,
    'restore, all',
    turns.compare(
      tree,
      [
        {
          name: 'km-backup',
          prepare: () => {
            turn++;
            fs.mkdirSync(at('restored'), { recursive: true });
          },
          command: () => km('restore', archive, restored('km')),
        },
        {
          name: 'tar -xzf',
          prepare: () => fs.mkdirSync(restored('tar')),
          command: () => ['tar', '-xzf', at('tar.tgz'), '-C', restored('tar')],
        },
        {
          name: 'tar -xzf; sync -f',
          prepare: () => fs.mkdirSync(restored('tar-sync')),
          command: () =>
            shell(`tar -xzf ${at('tar.tgz')} -C ${restored('tar-sync')} && sync -f ${restored('tar-sync')}`),
        },
        {
          name: 'restic',
          prepare: () => fs.mkdirSync(restored('restic')),
          command: () => [
            'restic',
            '-q',
            '-r',
            at('restic'),
            'restore',
            'latest',
            '--target',
            restored('restic'),
          ],
        },
      ],
      archives,
    ),
    { 'tar -xzf': 1.5, restic: 1.5 },
  );
  const empty = (name: string) => () => {
    remove(name);
    fs.mkdirSync(at(name));
  };
  if (tree.pick) {
    record(
      tree.name,
      'one file out of the archive',
      turns.compare(
        tree,
        [
          {
            name: 'km-backup',
            prepare: empty('one'),
            command: km('extract', archive, tree.pick, '-C', at('one')),
          },
          {
            name: 'tar -xzf',
            prepare: empty('one-tar'),
            command: ['tar', '-xzf', at('tar.tgz'), '-C', at('one-tar'), `./${tree.pick}`],
          },
        ],
        archives,
      ),
      { 'tar -xzf': 50 },
    );
  }
  remove('restored', 'km-gzip', 'km-zstd', 'restic', 'borg', 'tar.tgz', 'pigz.tgz', 'one', 'one-tar');
}

/** Peak memory by number of (tiny) files. */
function benchMemory(): void {
  for (const count of options.quick ? [10_000, 40_000] : [10_000, 100_000, 1_000_000]) {
    const tree = { path: at('many') };
    remove('many', 'km-gzip');
    for (let index = 0; index < count; index++) {
      const directory = at('many', String(Math.floor(index / 1000)));
      if (index % 1000 === 0) fs.mkdirSync(directory, { recursive: true });
      fs.writeFileSync(path.join(directory, String(index)), `file ${index}`);
    }
    const ours = { name: 'km-backup', command: create(tree, 'gzip') };
    const theirs = {
      name: 'restic',
      command: ['restic', '-q', '-r', at('restic'), 'backup', '.'],
      cwd: tree.path,
    };
    remove('restic', 'restic-cache');
    must('restic', '-q', '-r', at('restic'), 'init');
    for (const task of ['first backup', 'repeat backup']) {
      const oursMemory = turns.once(ours, []).memoryBytes;
      const theirsMemory = turns.once(theirs, []).memoryBytes;
      const ratio = oursMemory / theirsMemory;
      rows.push({
        tree: `${count.toLocaleString('en')} tiny files`,
        work: `peak memory, ${task}`,
        peer: 'restic',
        ours: oursMemory,
        theirs: theirsMemory,
        unit: 'B',
        ratio,
        aim: 1,
        oursCpu: null,
        theirsCpu: null,
        oursMemory,
        theirsMemory,
      });
      say(`  ${count} files, peak memory, ${task}: ${ratio.toFixed(2)}x restic`);
    }
  }
  remove('restic', 'restic-cache');
  remove('many', 'km-gzip');
}

try {
  ensurePeers();
  await buildPrograms();
  for (const tree of buildTrees(work, checkout, options.quick, options.only)) {
    using live = tree;
    benchTree(live);
  }
  if (options.only.includes('memory')) benchMemory();
  const report = {
    at: new Date().toISOString(),
    machine: `${os.cpus().length} cores, ${os.cpus()[0]?.model ?? ''}, ${os.type()} ${os.release()}, Node.js ${process.version}`,
    repetitions,
    quick: options.quick,
    rows,
  };
  if (options.write) {
    const limits = fs.readFileSync(path.join(checkout, 'bench/archive/limits.md'), 'utf8');
    fs.writeFileSync(path.join(checkout, 'docs/benchmarks-archive.md'), toMarkdown(report, limits));
  }
  process.stdout.write(options.json ? `${JSON.stringify(report, null, 2)}\n` : toText(report));
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}
