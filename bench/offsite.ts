/*
 * `npm run bench:offsite`: copies to an S3 server, compared with restic, kopia and a plain encrypted upload, all to the
 * same versitygw on loopback. `--size`: MB of the tree (default 2000); `--days-size`: of the one with ten daily copies
 * (default 200). `--only first,next,one,days`: only these parts. `--json`: prints JSON. `--write`: updates
 * docs/benchmarks-offsite.md; parts that were not measured keep their rows.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildPrograms } from '../scripts/build.ts';
import { chosen, commandLine, numberOf } from '../scripts/command-line.ts';
import { ensurePackages } from '../test/cluster/packages.ts';
import { summarize } from './measure.ts';
import {
  type Aim,
  aim,
  merged,
  type Part,
  type Row,
  toMarkdown,
  toTable,
  WORKS,
  type Work,
} from './offsite/report.ts';
import { filesOf, nameOf, Scene, type Stored } from './offsite/scene.ts';

const size = (flag: string, text: string) => numberOf(flag, text, { least: 10, whole: true });
const options = commandLine(
  {
    size: { type: 'string', default: '2000' },
    'days-size': { type: 'string', default: '200' },
    only: { type: 'string', default: WORKS.join(',') },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
  (flags) => ({
    json: flags.json,
    write: flags.write,
    megabytes: size('--size', flags.size),
    daysMegabytes: size('--days-size', flags['days-size']),
    only: chosen('--only', flags.only, WORKS),
  }),
);

const KM = 'km-backup';
const RESTIC = 'restic';
const KOPIA = 'kopia';
const PLAIN = 'age | rclone rcat';
const DAYS = 10;
const KEPT_DAYS = 3;
/** Of one file, by each program in turn. */
const TURNS = 5;

const checkout = path.join(import.meta.dirname, '..');
const results = path.join(import.meta.dirname, 'offsite/results.json');
const log = (text: string) => void process.stderr.write(`${text}\n`);
const rows: Row[] = [];

function record(
  part: Work,
  work: string,
  program: string,
  { seconds, memoryBytes, storedBytes }: Partial<Stored>,
  aims: readonly Aim[] = [],
): void {
  const row = {
    ...{ part, work, program, aims },
    ...{ seconds: seconds ?? null, memoryBytes: memoryBytes ?? null, storedBytes: storedBytes ?? null },
  };
  if (options.only.includes(part)) rows.push(row);
  log(
    `${work}: ${program} ${seconds?.toFixed(2) ?? '-'} s, ${storedBytes ?? '-'} bytes, memory ${memoryBytes ?? '-'}`,
  );
}

/** The first copy; needed by the parts that follow, too. */
async function first(scene: Scene, files: number): Promise<void> {
  log(`writing ${files} files`);
  for (let file = 0; file < files; file++) scene.writeFile(file);
  record('first', 'make the archive', KM, await scene.archive());
  const km = scene.copyByKm();
  const isMeasured = options.only.includes('first');
  const plain = isMeasured ? scene.copyPlainly() : undefined;
  const restic = scene.copyByRestic();
  const kopia = isMeasured || options.only.includes('next') ? scene.copyByKopia() : undefined;
  const work = 'first copy';
  record('first', work, KM, km, [
    ...(plain ? [aim(`>= 0.8x as fast as ${PLAIN}`, plain.seconds / km.seconds, 0.8, true)] : []),
    aim('>= 1x as fast as restic', restic.seconds / km.seconds, 1, true),
    aim("memory <= restic's", km.memoryBytes / restic.memoryBytes, 1),
  ]);
  if (plain) record('first', work, PLAIN, plain);
  record('first', work, RESTIC, restic);
  if (kopia) record('first', work, KOPIA, kopia);
}

async function next(scene: Scene, files: number): Promise<void> {
  const changed = Math.max(1, Math.floor(files / 100));
  const step = Math.floor(files / changed);
  const half = Math.floor(files / 2);
  for (const [work, fileOf, factor] of [
    ['next copy, 1% changed, all over', (index: number) => index * step, undefined],
    ['next copy, 1% changed, in one folder', (index: number) => half + index, 1.5],
  ] as const) {
    for (let index = 0; index < changed; index++) scene.writeFile(fileOf(index));
    record('next', `${work}: make the archive`, KM, await scene.archive());
    const members = await scene.changedMembers();
    const km = scene.copyByKm();
    const restic = scene.copyByRestic();
    const kopia = scene.copyByKopia();
    const ofRestic = km.storedBytes / restic.storedBytes;
    record('next', work, KM, km, [
      aim('stored <= 1.1x of the changed members', km.storedBytes / members, 1.1),
      ...(factor === undefined
        ? [{ text: "stored, of restic's", value: ofRestic }]
        : [aim(`stored <= ${factor}x of restic's`, ofRestic, factor)]),
      aim("time <= restic's", km.seconds / restic.seconds, 1),
    ]);
    record('next', work, RESTIC, restic);
    record('next', work, KOPIA, kopia);
  }
}

function one(scene: Scene, files: number): void {
  const name = nameOf(Math.floor(files / 2));
  const wanted = fs.readFileSync(scene.at('source', name));
  const turns = Array.from({ length: TURNS }, () => {
    const both = { km: scene.extractByKm(name), restic: scene.dumpByRestic(name) };
    for (const { file } of [both.km, both.restic])
      if (!fs.readFileSync(file).equals(wanted))
        throw new Error(`${file} is not the file that was backed up`);
    return both;
  });
  const km = summarize(turns.map((turn) => turn.km));
  const restic = summarize(turns.map((turn) => turn.restic));
  record('one', 'one file', KM, km, [
    aim('>= 3x faster than restic dump', restic.seconds / km.seconds, 3, true),
  ]);
  record('one', 'one file', `${RESTIC} dump`, restic);
}

/** Each day a few folders change, a few files all over do, and the log grows by a hundredth of the tree. */
async function days(scene: Scene, files: number): Promise<void> {
  for (let file = 0; file < files; file++) scene.writeFile(file);
  scene.appendLog(options.daysMegabytes * 50_000);
  const share = Math.max(1, Math.floor(files / 100));
  const totals = { km: 0, restic: 0, kopia: 0 };
  for (let day = 0; day < DAYS; day++) {
    if (day > 0) {
      const start = Math.floor((files / DAYS) * day);
      for (let index = 0; index < share; index++) scene.writeFile((start + index) % files);
      scene.appendLog(options.daysMegabytes * 10_000);
    }
    await scene.archive();
    totals.km += scene.copyByKm().storedBytes;
    totals.restic += scene.copyByRestic().storedBytes;
    totals.kopia += scene.copyByKopia().storedBytes;
    log(`day ${day}: ${JSON.stringify(totals)}`);
  }
  const work = `${DAYS} daily copies: a folder and a log change`;
  record('days', work, KM, { storedBytes: totals.km }, [
    aim("stored <= 1.3x of restic's", totals.km / totals.restic, 1.3),
  ]);
  record('days', work, RESTIC, { storedBytes: totals.restic });
  record('days', work, KOPIA, { storedBytes: totals.kopia });
  scene.keepNewest(KEPT_DAYS);
  const kept = `${KEPT_DAYS} of them kept`;
  const [km, restic] = [scene.storedIn('km-backup'), scene.storedIn('restic')];
  record('days', kept, KM, { storedBytes: km }, [
    aim('dead share of the packs <= 0.4x', await scene.deadShare(), 0.4),
    { text: "stored, of restic's", value: km / restic },
  ]);
  record('days', kept, RESTIC, { storedBytes: restic });
}

async function withScene(
  megabytes: number,
  work: (scene: Scene, files: number) => Promise<void>,
): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'km-bench-offsite-'));
  try {
    await using scene = await Scene.start(folder, path.join(checkout, 'bin/km-backup'));
    await work(scene, filesOf(megabytes));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

await buildPrograms();
await ensurePackages('integration', log);
const { only, megabytes, daysMegabytes } = options;
if (only.some((part) => part !== 'days')) {
  await withScene(megabytes, async (scene, files) => {
    await first(scene, files);
    if (only.includes('next')) await next(scene, files);
    if (only.includes('one')) one(scene, files);
  });
}
if (only.includes('days')) await withScene(daysMegabytes, days);

const machine = `${os.cpus().length} cores, ${os.cpus()[0]?.model ?? ''}, ${os.type()} ${os.release()}, Node.js ${process.version}`;
const parts: Part[] = only.map((part) => {
  const of = part === 'days' ? daysMegabytes : megabytes;
  const what = `${filesOf(of)} files of 32 KiB, ${of} MB`;
  return { part, at: new Date().toISOString(), machine, what, rows: rows.filter((row) => row.part === part) };
});
if (options.write) {
  const earlier = fs.existsSync(results) ? (JSON.parse(fs.readFileSync(results, 'utf8')) as Part[]) : [];
  const all = merged(earlier, parts);
  fs.writeFileSync(results, `${JSON.stringify(all, null, 2)}\n`);
  const notes = fs.readFileSync(path.join(import.meta.dirname, 'offsite/notes.md'), 'utf8');
  fs.writeFileSync(path.join(checkout, 'docs/benchmarks-offsite.md'), toMarkdown(all, notes));
}
process.stdout.write(options.json ? `${JSON.stringify(parts, null, 2)}\n` : `${toTable(parts)}\n`);
