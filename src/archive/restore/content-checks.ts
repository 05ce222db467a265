import fs from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { ArchiveError } from '../errors.ts';
import { type ByteString, display, fromText } from '../format/byte-string.ts';
import type { WorkerPool } from '../pool/worker-pool.ts';
import { DeepPaths } from './deep-paths.ts';
import { messageOf } from './failures.ts';
import type { RestoreJobs } from './jobs.ts';
import { CHECK, type ContentCheckResult } from './journal.ts';
import { LiveTree } from './live-tree.ts';
import { removeTree } from './remove-tree.ts';

export interface WantedCheck {
  readonly check: ContentCheckResult['check'];
  /** As people gave it. */
  readonly pattern: string;
  readonly matches: (path: ByteString, isDirectory: boolean) => boolean;
}

const MAX_SAMPLES = 5;

/** The content of a restored tree is damaged, although the archive holds it faithfully. */
export class ContentCheckError extends ArchiveError {
  readonly checks: readonly ContentCheckResult[];

  constructor(message: string, checks: readonly ContentCheckResult[]) {
    super('ContentCheckFailed', message);
    this.checks = checks;
  }
}

/**
 * Checks the content of files in a staged tree, which stays as it is.
 *
 * @param state For private copies.
 * @throws {ContentCheckError} When a file is damaged, or a pattern finds no file.
 */
export async function checkContents(
  root: string,
  state: string,
  wanted: readonly WantedCheck[],
  pool: WorkerPool<RestoreJobs>,
  signal: AbortSignal | undefined,
): Promise<ContentCheckResult[]> {
  using tree = new LiveTree(fromText(root));
  using paths = new DeepPaths(fromText(root));
  const results = wanted.map(({ check }) => ({ check, files: 0, failed: 0, samples: [] as string[] }));
  for (const { path: file, type } of tree.walk(() => false)) {
    if (type !== 'file') continue;
    for (const [index, { check, matches }] of wanted.entries()) {
      if (!matches(file, false)) continue;
      signal?.throwIfAborted();
      const problem = await problemOf(check, file, paths, state, pool, signal);
      const result = results[index]!;
      result.files++;
      if (problem === undefined) continue;
      result.failed++;
      if (result.samples.length < MAX_SAMPLES) {
        result.samples.push(`${display(file)}: ${display(fromText(problem), 300)}`);
      }
    }
  }
  for (const [index, { pattern }] of wanted.entries()) {
    const result = results[index]!;
    if (result.files > 0) continue;
    // A check of nothing would pass for ever.
    result.failed = 1;
    result.samples.push(`no file matches ${display(fromText(pattern))}`);
  }
  const merged = mergeByKind(results);
  const failed = merged.find((result) => result.failed > 0);
  if (!failed) return merged;
  throw new ContentCheckError(
    `refused: the ${failed.check} check of the restored content failed for ${failed.failed} of ${Math.max(failed.files, failed.failed)} files: ${failed.samples[0]}. Nothing was changed. Restore an earlier archive.`,
    merged,
  );
}

function mergeByKind(results: readonly ContentCheckResult[]): ContentCheckResult[] {
  const merged = new Map<string, ContentCheckResult>();
  for (const { check, files, failed, samples } of results) {
    const before = merged.get(check);
    merged.set(check, {
      check,
      files: files + (before?.files ?? 0),
      failed: failed + (before?.failed ?? 0),
      samples: [...(before?.samples ?? []), ...samples].slice(0, MAX_SAMPLES),
    });
  }
  return [...merged.values()];
}

async function problemOf(
  check: ContentCheckResult['check'],
  file: ByteString,
  paths: DeepPaths,
  state: string,
  pool: WorkerPool<RestoreJobs>,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (check === 'gzip') return await checkGzip(paths.at(file), signal);
  if (check === 'sqlite') {
    const journals = ['-wal', '-journal'].filter((ending) => {
      const stats = paths.lstat(`${file}${ending}` as ByteString);
      return stats?.isFile() && stats.size > 0;
    });
    if (journals.length > 0) return await checkCopy(file, journals, paths, state, pool);
  }
  return await pool.run('check', { check, location: paths.at(file), writable: false });
}

/** SQLite plays its journals back into the database, so it gets a copy of all of them. */
async function checkCopy(
  file: ByteString,
  journals: readonly string[],
  paths: DeepPaths,
  state: string,
  pool: WorkerPool<RestoreJobs>,
): Promise<string | undefined> {
  const directory = path.join(state, CHECK);
  await removeTree(fromText(directory));
  fs.mkdirSync(directory, { mode: 0o700 });
  const copy = path.join(directory, 'db');
  for (const ending of ['', ...journals]) {
    fs.copyFileSync(paths.at(`${file}${ending}` as ByteString), copy + ending, fs.constants.COPYFILE_FICLONE);
    fs.chmodSync(copy + ending, 0o600);
  }
  const problem = await pool.run('check', { check: 'sqlite', location: copy, writable: true });
  await removeTree(fromText(directory));
  return problem;
}

async function checkGzip(
  location: string | Buffer,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (fs.lstatSync(location).size === 0) return 'it is empty';
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    await pipeline(fs.createReadStream(location), createGunzip(), nowhere, { signal });
    return undefined;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    return messageOf(error);
  }
}
