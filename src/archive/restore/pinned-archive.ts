import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { statusOf } from '../../posix/status.ts';
import { ArchiveError, readError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';
import { manifestNameOf } from '../format/names.ts';
import { openFile } from '../format/open-file.ts';
import { shown } from './failures.ts';
import { Pauses } from './pauses.ts';

/** Hex digests that an archive must have. */
export interface Pins {
  /** Of the manifest file, which holds the digests of everything else. */
  readonly manifestSha256?: string | undefined;
  /** Of the archive file, which is read whole for it. */
  readonly sha256?: string | undefined;
}

interface Identified {
  readonly file: string;
  readonly identity: string | undefined;
}

const BLOCK = 1024 * 1024;

/** An archive whose digests were compared, and which must not be replaced until everything has been read from it. */
export class PinnedArchive {
  readonly #files: readonly Identified[];

  private constructor(files: readonly Identified[]) {
    this.#files = files;
  }

  /**
   * Compares an archive with what is expected of it.
   *
   * @throws {ArchiveError} ArchiveReplaced when a digest differs, or the manifest is gone.
   */
  static async open(archive: string, pins: Pins, signal: AbortSignal | undefined): Promise<PinnedArchive> {
    const wanted = [
      { what: 'manifest', file: manifestNameOf(archive), digest: pins.manifestSha256 },
      { what: 'archive', file: archive, digest: pins.sha256 },
    ].filter(({ digest }) => digest !== undefined);
    // Before the digests are computed, so that a replacement in the meantime shows.
    const files = wanted.map(({ file }) => ({ file, identity: identityOf(file) }));
    for (const { what, file, digest } of wanted) {
      const found = await digestOf(file, signal);
      if (found === digest) continue;
      throw new ArchiveError(
        'ArchiveReplaced',
        `refused: ${shown(file)} is not the ${what} that was asked for: ${found === undefined ? 'it does not exist' : `its SHA-256 is ${found}`}, expected ${digest}. Nothing was changed.`,
      );
    }
    return new PinnedArchive(files);
  }

  /** @throws {ArchiveError} ArchiveReplaced when another file has taken the place since `open`. */
  check(): void {
    const replaced = this.#files.find(({ file, identity }) => identityOf(file) !== identity);
    if (!replaced) return;
    throw new ArchiveError(
      'ArchiveReplaced',
      `refused: ${shown(replaced.file)} was replaced, changed or removed while it was being restored. Nothing was changed.`,
    );
  }
}

function identityOf(file: string): string | undefined {
  const status = statusOf(fromText(fs.existsSync(file) ? fs.realpathSync(file) : file));
  return status && `${status.device} ${status.ino} ${status.size} ${status.mtime}`;
}

/** @returns The hex SHA-256 of a file; undefined when it does not exist. */
export async function digestOf(file: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  if (!fs.existsSync(file)) return undefined;
  const pauses = new Pauses(signal);
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(BLOCK);
  const fd = openFile(file);
  try {
    for (let read = fs.readSync(fd, block); read > 0; read = fs.readSync(fd, block)) {
      hash.update(block.subarray(0, read));
      if (pauses.due) await pauses.take();
    }
  } catch (error) {
    throw signal?.aborted ? error : readError(error, file);
  } finally {
    fs.closeSync(fd);
  }
  return hash.digest('hex');
}
