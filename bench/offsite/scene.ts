/** An S3 server with a bucket for each program, the programs, and a tree that they back up. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMemberLines } from '../../src/archive/index.ts';
import { listedArchives, locationAt, readList } from '../../src/offsite/index.ts';
import { ensureKopia, ensureRclone, ensureRestic, KEYS, S3Server } from '../../test/support/s3-server.ts';
import { type Measured, measure, run } from '../measure.ts';

const FILE_BYTES = 32 * 1024;
const FOLDER_FILES = 100;
const BUCKETS = ['km-backup', 'restic', 'kopia', 'plain'] as const;
export type Bucket = (typeof BUCKETS)[number];

interface Programs {
  readonly km: string;
  readonly restic: string;
  readonly kopia: string;
  readonly rclone: string;
}

export class Scene implements AsyncDisposable {
  readonly #work: string;
  readonly #server: S3Server;
  readonly #programs: Programs;
  readonly #env: NodeJS.ProcessEnv;
  readonly #recipient: string;
  #plainCopies = 0;

  private constructor(work: string, server: S3Server, programs: Programs) {
    this.#work = work;
    this.#server = server;
    this.#programs = programs;
    this.#env = {
      ...process.env,
      ...server.env,
      RESTIC_PASSWORD: 'bench',
      RESTIC_CACHE_DIR: this.at('restic-cache'),
      RESTIC_REPOSITORY: `s3:${server.endpoint}/restic`,
      KOPIA_PASSWORD: 'bench',
      KOPIA_CONFIG_PATH: this.at('kopia.config'),
      KOPIA_CACHE_DIRECTORY: this.at('kopia-cache'),
      KOPIA_LOG_DIR: this.at('kopia-log'),
      KOPIA_CHECK_FOR_UPDATES: 'false',
      RCLONE_CONFIG: '/dev/null',
      RCLONE_CONFIG_BENCH_TYPE: 's3',
      RCLONE_CONFIG_BENCH_PROVIDER: 'Other',
      RCLONE_CONFIG_BENCH_ENV_AUTH: 'true',
      RCLONE_CONFIG_BENCH_ENDPOINT: server.endpoint,
      KM_BACKUP_SOURCE: this.at('source'),
      KM_BACKUP_DEST: this.at('archives'),
    };
    this.#recipient = this.run([programs.km, 'location', 'keygen', '-o', this.at('key.txt')]).trim();
    this.run([programs.restic, 'init']);
    this.run([
      ...[programs.kopia, 'repository', 'create', 's3', '--bucket=kopia', '--disable-tls'],
      ...[`--endpoint=${new URL(server.endpoint).host}`, `--access-key=${KEYS.AWS_ACCESS_KEY_ID}`],
      `--secret-access-key=${KEYS.AWS_SECRET_ACCESS_KEY}`,
    ]);
    // What the others do, too.
    this.run([programs.kopia, 'policy', 'set', '--global', '--compression=zstd-fastest']);
  }

  /** @param work an empty folder, which is removed at the end */
  static async start(work: string, km: string): Promise<Scene> {
    const [restic, kopia, rclone] = [await ensureRestic(), await ensureKopia(), await ensureRclone()];
    const server = await S3Server.start('versitygw');
    for (const bucket of BUCKETS) await server.createBucket(bucket);
    for (const name of ['source', 'archives']) fs.mkdirSync(path.join(work, name));
    return new Scene(work, server, { km, restic, kopia, rclone });
  }

  at(...names: string[]): string {
    return path.join(this.#work, ...names);
  }

  run(command: readonly string[]): string {
    return run(command, { env: this.#env, cwd: this.#work });
  }

  /** About half of a file compresses, as in a mix of text and media. */
  writeFile(file: number): void {
    const bytes = Buffer.alloc(FILE_BYTES, `line of file ${file} that repeats itself\n`);
    randomBytes(FILE_BYTES / 2).copy(bytes);
    const name = this.at('source', nameOf(file));
    fs.mkdirSync(path.dirname(name), { recursive: true });
    fs.writeFileSync(name, bytes);
  }

  /** Lines that nothing repeats, as of a log; about a third of it remains when compressed. */
  appendLog(bytes: number): void {
    const lines: string[] = [];
    for (let length = 0; length < bytes; length += lines.at(-1)!.length)
      lines.push(`2026-11-26T00:00:00Z INFO request ${randomBytes(12).toString('hex')} answered in time\n`);
    fs.appendFileSync(this.at('source', 'service.log'), lines.join(''));
  }

  /** A file counts as unchanged by its times only once they are two seconds old when it is read. */
  async archive(): Promise<Measured> {
    await sleep(2_500);
    return this.#measure([this.#programs.km, 'create', '--progress', 'none']);
  }

  archives(): string[] {
    const names = fs.readdirSync(this.at('archives')).filter((name) => name.endsWith('.tgz'));
    return names.sort().map((name) => this.at('archives', name));
  }

  /** Bytes of the members of the newest archive that the one before it lacks. */
  async changedMembers(): Promise<number> {
    const [before, newest] = this.archives().slice(-2) as [string, string];
    const known = new Set<string>();
    for await (const { member } of readMemberLines(`${before}.manifest`)) known.add(member.sha256);
    let bytes = 0;
    for await (const { member } of readMemberLines(`${newest}.manifest`))
      if (!known.has(member.sha256)) bytes += member.size;
    return bytes;
  }

  copyByKm = () =>
    this.#store('km-backup', [
      ...[this.#programs.km, 'copy', ...LOCATION, '--recipient', this.#recipient],
      ...['--destination', this.at('archives'), '--progress', 'none'],
    ]);

  copyByRestic = () => this.#store('restic', [this.#programs.restic, 'backup', '--quiet', this.at('source')]);

  copyByKopia = () =>
    this.#store('kopia', [this.#programs.kopia, 'snapshot', 'create', '--no-progress', this.at('source')]);

  copyPlainly = () =>
    this.#store('plain', [
      ...['bash', '-o', 'pipefail', '-c'],
      `age -r ${this.#recipient} ${this.archives().at(-1)} | ${this.#programs.rclone} --s3-chunk-size 16M rcat BENCH:plain/${this.#plainCopies++}.tgz.age`,
    ]);

  extractByKm(name: string): Measured & { readonly file: string } {
    fs.rmSync(this.at('one'), { recursive: true, force: true });
    fs.mkdirSync(this.at('one'));
    const command = [this.#programs.km, 'extract', ...LOCATION, '--identity', this.at('key.txt')];
    const measured = this.#measure([...command, '--progress', 'none', '-C', this.at('one'), name]);
    return { ...measured, file: this.at('one', name) };
  }

  dumpByRestic(name: string): Measured & { readonly file: string } {
    const [file, source] = [this.at('dumped'), this.at('source', name)];
    const measured = this.#measure([
      'bash',
      '-c',
      `${this.#programs.restic} dump latest ${source} > ${file}`,
    ]);
    return { ...measured, file };
  }

  /** Keeps the newest `count` backups of each program, and deletes at once what only the others used. */
  keepNewest(count: number): void {
    const prune = [this.#programs.km, 'prune', ...LOCATION, '--destination', this.at('archives')];
    // Two sweeps: the first one only notes what is dead.
    for (let sweep = 0; sweep < 2; sweep++)
      this.run([...prune, '--retention-limit', String(count), '--grace-hours', '0']);
    this.run([this.#programs.restic, 'forget', '--quiet', '--prune', '--keep-last', String(count)]);
  }

  /** Share of the stored packs that no list uses. */
  async deadShare(): Promise<number> {
    // The SDK looks for credentials here.
    Object.assign(process.env, this.#server.env);
    const location = await locationAt('s3://km-backup/copies', {
      endpoint: this.#server.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
    });
    const used = new Map<string, Map<number, number>>();
    for (const { archive, series } of await listedArchives(location)) {
      const { runs, manifestRuns } = (await readList(location, series, archive))!;
      for (const { pack, offset, length } of [...runs, ...manifestRuns]) {
        const ends = used.getOrInsertComputed(pack, () => new Map());
        ends.set(offset, Math.max(ends.get(offset) ?? 0, offset + length));
      }
    }
    let living = 0;
    for (const ends of used.values()) {
      let reached = 0;
      for (const [start, end] of [...ends].sort(([a], [b]) => a - b)) {
        living += Math.max(0, end - Math.max(start, reached));
        reached = Math.max(reached, end);
      }
    }
    let stored = 0;
    for await (const { sizeBytes } of location.list('packs/')) stored += sizeBytes;
    return 1 - living / stored;
  }

  /** Bytes of the files of a bucket: what the server was sent, whoever sent it. */
  storedIn(bucket: Bucket): number {
    return fs
      .readdirSync(path.join(this.#server.dataDirectory, bucket), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + fs.statSync(path.join(entry.parentPath, entry.name)).size, 0);
  }

  #measure(command: readonly string[]): Measured {
    // What was written before must not slow this down.
    run(['sync']);
    return measure(command, { env: this.#env, cwd: this.#work });
  }

  #store(bucket: Bucket, command: readonly string[]): Stored {
    const before = this.storedIn(bucket);
    const measured = this.#measure(command);
    return { ...measured, storedBytes: this.storedIn(bucket) - before };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    fs.rmSync(this.#work, { recursive: true, force: true });
  }
}

export type Stored = Measured & { readonly storedBytes: number };

const LOCATION = ['s3://km-backup/copies', '--path-style'] as const;

export const nameOf = (file: number): string => `folder-${Math.floor(file / FOLDER_FILES)}/file-${file}`;
export const filesOf = (megabytes: number): number => Math.ceil((megabytes * 1_000_000) / FILE_BYTES);
