/*
 * `npm run bench:offsite`: copies to an S3 server, compared with restic and with a plain encrypted upload, all to the
 * same versitygw on loopback. `--size`: MB of the tree (default 2000). `--json`: prints JSON.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildPrograms } from '../scripts/build.ts';
import { commandLine, numberOf } from '../scripts/command-line.ts';
import { ensurePackages } from '../test/cluster/packages.ts';
import { ensureRclone, ensureRestic, S3Server } from '../test/support/s3-server.ts';
import { type Measured, measure, run } from './measure.ts';

const { megabytes, json } = commandLine(
  { size: { type: 'string', default: '2000' }, json: { type: 'boolean', default: false } },
  (flags) => ({
    megabytes: numberOf('--size', flags.size, { least: 10, whole: true }),
    json: flags.json,
  }),
);

const FILE_BYTES = 32 * 1024;
const FOLDER_FILES = 100;
const BUCKETS = { km: 'km-backup', restic: 'restic', plain: 'plain' } as const;
const KM = 'km-backup';

const checkout = path.join(import.meta.dirname, '..');
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'km-bench-offsite-'));
const at = (...names: string[]) => path.join(work, ...names);
const source = at('source');
const files = Math.ceil((megabytes * 1_000_000) / FILE_BYTES);
const nameOf = (file: number) => `folder-${Math.floor(file / FOLDER_FILES)}/file-${file}`;
const log = (text: string) => void process.stderr.write(`${text}\n`);

/** About half of it compresses, as in a mix of text and media. */
function writeFile(file: number): void {
  const bytes = Buffer.alloc(FILE_BYTES, `line of file ${file} that repeats itself\n`);
  randomBytes(FILE_BYTES / 2).copy(bytes);
  fs.writeFileSync(path.join(source, nameOf(file)), bytes);
}

interface Result extends Measured {
  readonly work: string;
  readonly contender: string;
  /** What the server's directory grew by; null where nothing was stored. */
  readonly storedBytes: number | null;
}

await buildPrograms();
await ensurePackages('integration', log);
const [restic, rclone] = [await ensureRestic(), await ensureRclone()];
await using server = await S3Server.start('versitygw');
for (const bucket of Object.values(BUCKETS)) await server.createBucket(bucket);

const environment = {
  ...process.env,
  ...server.env,
  RESTIC_PASSWORD: 'bench',
  RESTIC_CACHE_DIR: at('restic-cache'),
  RESTIC_REPOSITORY: `s3:${server.endpoint}/${BUCKETS.restic}`,
  RCLONE_CONFIG_BENCH_TYPE: 's3',
  RCLONE_CONFIG_BENCH_PROVIDER: 'Other',
  RCLONE_CONFIG_BENCH_ENV_AUTH: 'true',
  RCLONE_CONFIG_BENCH_ENDPOINT: server.endpoint,
  KM_BACKUP_SOURCE: source,
  KM_BACKUP_DEST: at('archives'),
};
const km = path.join(checkout, 'bin/km-backup');
const location = [`s3://${BUCKETS.km}/copies`, '--path-style'];
const results: Result[] = [];

const must = (command: readonly string[]) => run(command, { env: environment, cwd: work });

/** Bytes of the objects of a bucket: what the server was sent, whoever sent it. */
function storedIn(bucket: string): number {
  return fs
    .readdirSync(server.dataDirectory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && path.join(entry.parentPath, entry.name).includes(`/${bucket}/`))
    .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0);
}

function record(
  task: string,
  contender: string,
  bucket: string | undefined,
  command: readonly string[],
): void {
  const before = bucket === undefined ? 0 : storedIn(bucket);
  const measured = measure(command, { env: environment, cwd: work });
  const storedBytes = bucket === undefined ? null : storedIn(bucket) - before;
  const result = { work: task, contender, ...measured, storedBytes };
  results.push(result);
  log(`${task}: ${contender} ${measured.seconds.toFixed(2)} s`);
}

/** All contenders, on the tree as it is now. */
function backUp(task: string, recipient: string, turn: number): void {
  record(`${task}: make the archive`, KM, undefined, [km, 'create', '--progress', 'none']);
  record(`${task}: copy`, KM, BUCKETS.km, [
    ...[km, 'copy', ...location, '--recipient', recipient, '--progress', 'none'],
  ]);
  record(`${task}: copy`, 'restic (reads the tree)', BUCKETS.restic, [restic, 'backup', '--quiet', source]);
  const newest = fs
    .readdirSync(at('archives'))
    .filter((name) => name.endsWith('.tgz'))
    .sort()
    .at(-1)!;
  record(`${task}: copy`, 'age | rclone rcat (whole archive)', BUCKETS.plain, [
    'bash',
    '-o',
    'pipefail',
    '-c',
    `age -r ${recipient} archives/${newest} | ${rclone} --s3-chunk-size 16M rcat BENCH:${BUCKETS.plain}/${turn}.tgz.age`,
  ]);
}

/** A file counts as unchanged by its times only once they are two seconds old when it is read. */
const settle = () => sleep(2_500);

try {
  log(`writing ${files} files of ${FILE_BYTES / 1024} KiB`);
  for (let file = 0; file < files; file++) {
    if (file % FOLDER_FILES === 0)
      fs.mkdirSync(path.join(source, path.dirname(nameOf(file))), { recursive: true });
    writeFile(file);
  }
  const recipient = must([km, 'location', 'keygen', '-o', at('key.txt')]).trim();
  must([restic, 'init']);
  await settle();
  backUp('first copy', recipient, 0);
  const changed = Math.max(1, Math.floor(files / 100));
  const step = Math.floor(files / changed);
  for (let file = 0; file < changed; file++) writeFile(file * step);
  await settle();
  backUp('1% changed, all over', recipient, 1);
  const half = Math.floor(files / 2);
  for (let file = 0; file < changed; file++) writeFile(half + file);
  await settle();
  backUp('1% changed, in one place', recipient, 2);
  const one = nameOf(half);
  fs.mkdirSync(at('one'));
  record('one file', KM, undefined, [
    ...[km, 'extract', ...location, '--identity', at('key.txt'), '--progress', 'none', '-C', at('one'), one],
  ]);
  record('one file', 'restic dump', undefined, [
    'bash',
    '-c',
    `${restic} dump latest ${path.join(source, one)} > ${at('dumped')}`,
  ]);
  const wanted = fs.readFileSync(path.join(source, one));
  for (const file of [at('one', one), at('dumped')]) {
    if (!fs.readFileSync(file).equals(wanted)) throw new Error(`${file} is not the file that was backed up`);
  }
  process.stdout.write(json ? `${JSON.stringify(results, null, 2)}\n` : table());
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}

function table(): string {
  const mb = (bytes: number | null) => (bytes === null ? '' : (bytes / 1e6).toFixed(1));
  const head = ['Work', 'Contender', 'Seconds', 'CPU s', 'Stored MB', 'Memory MB'];
  const rows = results.map((row) => [
    row.work,
    row.contender,
    row.seconds.toFixed(2),
    row.cpuSeconds.toFixed(2),
    mb(row.storedBytes),
    mb(row.memoryBytes),
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const lines = [head, ...rows].map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n${files} files, ${mb(files * FILE_BYTES)} MB; ${os.cpus()[0]?.model ?? ''}, ${os.cpus().length} CPUs\n`;
}
