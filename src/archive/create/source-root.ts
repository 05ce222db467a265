import { closeSync, constants } from 'node:fs';
import { openDirectory } from '../../posix/beneath.ts';
import { type FileStatus, statusOfOpen } from '../../posix/status.ts';
import { codeOf } from '../../posix/system-error.ts';
import { ArchiveError } from '../errors.ts';
import { fromText } from '../format/byte-string.ts';
import { openInVolume } from './volume.ts';

/** The source directory, held open: everything is read below it, whatever happens to its path. */
export class SourceRoot implements Disposable {
  readonly fd: number;
  readonly status: FileStatus;

  /**
   * @param source if its last component is a symlink, it is followed
   * @param volume directory that must contain the source; symlinks must not lead out of it
   * @throws {ArchiveError} SourceMissing when the source is not a readable directory; Usage when it lies outside the
   *   volume
   */
  constructor(source: string, volume: string | undefined) {
    try {
      this.fd =
        volume === undefined
          ? openDirectory(fromText(source))
          : openInVolume(source, volume, constants.O_RDONLY);
    } catch (error) {
      if (error instanceof ArchiveError) throw error;
      throw sourceMissing(source, volume, error);
    }
    this.status = statusOfOpen(this.fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

function sourceMissing(source: string, volume: string | undefined, cause: unknown): ArchiveError {
  const code = codeOf(cause) ?? String(cause);
  return new ArchiveError('SourceMissing', sourceProblem(source, volume, code), { cause });
}

function sourceProblem(source: string, volume: string | undefined, code: string): string {
  switch (code) {
    case 'EXDEV':
      return `The source ${source} leads out of the volume ${volume}: a symbolic link is on the way. Name the folder itself.`;
    case 'ELOOP':
      return `The source ${source} cannot be opened: symbolic links on the way form a loop or are not allowed. Name the folder itself.`;
    case 'ENOTDIR':
      return `${source} is not a directory.`;
    default:
      return `The source ${source} cannot be read (${code}). Check that the volume is mounted there.`;
  }
}
