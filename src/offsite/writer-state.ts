/** What a writer keeps beside the local archives: its salt, and a checkpoint while a copy goes on. */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { ArchiveError } from '../archive/index.ts';
import { writeFileAtomic } from '../posix/atomic-file.ts';
import { FileLock } from '../posix/file-lock.ts';
import { codeOf } from '../posix/system-error.ts';
import { saltId } from './member-index.ts';

/**
 * Words for what the system refuses in the folder of the archives. What the location refuses has words already.
 * @returns the error to throw
 */
export function destinationError(error: unknown, destination: string): unknown {
  const code = codeOf(error);
  if (error instanceof ArchiveError || code === undefined) return error;
  const cause = { cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ArchiveError(
      'NoSpace',
      `${destination} is full: copying needs room there for its checkpoint.`,
      cause,
    );
  }
  return new ArchiveError(
    'DestinationUnusable',
    `${destination} cannot be written (${code}): copying keeps its salt, a lock and a checkpoint there. Mount it writable, and run as a user who may write it.`,
    cause,
  );
}

const SALT_NAME = '.km-backup-salt';
const SALT_BYTES = 32;

export interface Writer {
  readonly salt: Buffer;
  /** Begins the name of every pack of this writer. */
  readonly id: string;
}

/** The writer of a folder of archives; its salt is made when missing, so that a lost one costs only a full copy. */
export function writerOf(destination: string): Writer {
  const known = existingWriterOf(destination);
  if (known) return known;
  const salt = randomBytes(SALT_BYTES);
  writeFileAtomic(path.join(destination, SALT_NAME), salt, { mode: 0o600 });
  return { salt, id: saltId(salt).toString('hex') };
}

/** Undefined where nothing in this folder was ever copied. */
export function existingWriterOf(destination: string): Writer | undefined {
  const file = path.join(destination, SALT_NAME);
  let salt: Buffer;
  try {
    salt = fs.readFileSync(file);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    return undefined;
  }
  if (salt.length !== SALT_BYTES) {
    throw new ArchiveError(
      'DestinationUnusable',
      `${file} is not a salt of km-backup (${salt.length} bytes). Remove it: the next copy then uploads everything once more.`,
    );
  }
  return { salt, id: saltId(salt).toString('hex') };
}

const LOCATIONS_NAME = '.km-backup-locations.json';

/**
 * The locations that this destination was copied to, by address: a bucket that was emptied or exchanged is noticed
 * before anything is written or deleted there.
 */
export class KnownLocations {
  readonly #file: string;

  constructor(destination: string) {
    this.#file = path.join(destination, LOCATIONS_NAME);
  }

  idOf(url: string): string | undefined {
    return this.#read()[url];
  }

  remember(url: string, id: string): void {
    const known = this.#read();
    if (known[url] === id) return;
    writeFileAtomic(this.#file, `${JSON.stringify({ ...known, [url]: id }, null, 2)}\n`, { mode: 0o600 });
  }

  #read(): Readonly<Record<string, string>> {
    try {
      return JSON.parse(fs.readFileSync(this.#file, 'utf8')) as Record<string, string>;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return {};
      throw new ArchiveError(
        'DestinationUnusable',
        `${this.#file} cannot be read. Remove it if it is damaged: it is made again.`,
      );
    }
  }
}

/**
 * Keeps two copies of one destination apart, which would upload the same members twice.
 * @param waitMs how long to wait for the other one; 0 refuses at once
 * @throws {ArchiveError} Locked
 */
export async function lockCopies(
  destination: string,
  waitMs: number,
  signal?: AbortSignal | undefined,
): Promise<FileLock> {
  const file = path.join(destination, '.km-backup-copy.lock');
  const attempt = await FileLock.lock(file, { waitMs, ...(signal && { signal }) });
  if (attempt.acquired) return attempt.lock;
  const { holder } = attempt;
  const who = holder ? `process ${holder.pid} on ${holder.host}, since ${holder.since}` : 'another process';
  throw new ArchiveError('Locked', `Archives of ${destination} are being copied or pruned by ${who}.`);
}

/** A pack that the location has confirmed, and the members in it. */
export interface ConfirmedPack {
  readonly pack: string;
  /** Bytes of the object. */
  readonly sizeBytes: number;
  /** Hex digest and length of each member, in the pack's order. */
  readonly members: readonly (readonly [digest: string, length: number])[];
}

/** Packs of a copy that has not ended: a copy that was killed goes on behind them. */
export class Checkpoint {
  readonly #file: string;

  /** @param copy what tells this copy from others */
  constructor(destination: string, copy: readonly string[]) {
    const name = createHash('sha256').update(JSON.stringify(copy)).digest('hex');
    this.#file = path.join(destination, `.km-backup-copy-${name.slice(0, 16)}.checkpoint`);
  }

  read(): ConfirmedPack[] {
    let text: string;
    try {
      text = fs.readFileSync(this.#file, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw error;
    }
    return text.split('\n').flatMap((line) => {
      try {
        return [JSON.parse(line) as ConfirmedPack];
      } catch {
        // The last line of a copy that was killed while it wrote.
        return [];
      }
    });
  }

  async add(pack: ConfirmedPack): Promise<void> {
    const file = await open(this.#file, 'a', 0o600);
    try {
      await file.write(`${JSON.stringify(pack)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  remove(): void {
    fs.rmSync(this.#file, { force: true });
  }
}
