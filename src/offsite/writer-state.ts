/** What a writer keeps beside the local archives: its salt, and a checkpoint while a copy goes on. */
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { ArchiveError } from '../archive/index.ts';
import { writeFileAtomic } from '../posix/atomic-file.ts';
import { codeOf } from '../posix/system-error.ts';
import { saltId } from './member-index.ts';

const SALT_NAME = '.km-backup-salt';
const SALT_BYTES = 32;

export interface Writer {
  readonly salt: Buffer;
  /** Begins the name of every pack of this writer. */
  readonly id: string;
}

/** The salt in the folder of the archives; made when missing, so that a lost one costs only a full copy. */
export function writerOf(destination: string): Writer {
  const file = path.join(destination, SALT_NAME);
  let salt: Buffer;
  try {
    salt = fs.readFileSync(file);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
    salt = randomBytes(SALT_BYTES);
    writeFileAtomic(file, salt, { mode: 0o600 });
  }
  if (salt.length !== SALT_BYTES) {
    throw new ArchiveError(
      'DestinationUnusable',
      `${file} is not a salt of km-backup (${salt.length} bytes). Remove it: the next copy then uploads everything once more.`,
    );
  }
  return { salt, id: saltId(salt).toString('hex') };
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

  constructor(destination: string, locationId: string, series: string, archive: string) {
    const name = createHash('sha256')
      .update(JSON.stringify([locationId, series, archive]))
      .digest('hex');
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

  add(pack: ConfirmedPack): void {
    const fd = fs.openSync(this.#file, 'a', 0o600);
    try {
      fs.writeSync(fd, `${JSON.stringify(pack)}\n`);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  }

  remove(): void {
    fs.rmSync(this.#file, { force: true });
  }
}
