import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { publish } from '../destination/directory.ts';
import type { GrowingFile } from '../destination/growing-file.ts';
import { ArchiveError } from '../errors.ts';
import { isManagedName, manifestNameOf } from '../format/names.ts';

export interface Publication {
  readonly archive: GrowingFile;
  readonly manifest: GrowingFile;
  readonly name: string;
  readonly options: {
    readonly destination: string;
    readonly outputName?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  };
  readonly failpoint: (name: string) => void;
}

/**
 * Gives a synced archive and its manifest their final names.
 * @throws {ArchiveError} when neither has its name; WriteFailed when both have their names but may lose them in a
 *   power failure: the message says so
 */
export function publishArchive({ archive, manifest, name, options, failpoint }: Publication): void {
  checkManifest(manifest);
  failpoint('manifest synced');
  options.signal?.throwIfAborted();
  const final = path.join(options.destination, name);
  const finalManifest = path.join(options.destination, manifestNameOf(name));
  if (options.outputName !== undefined && !isManagedName(name)) {
    // Between the two renames the manifest does not fit the archive, and `verify` says so.
    renameSync(manifest.path, finalManifest);
    renameSync(archive.path, final);
  } else {
    publish(manifest.path, finalManifest);
    try {
      failpoint('manifest named');
      publish(archive.path, final);
    } catch (error) {
      rmSync(finalManifest, { force: true });
      throw error;
    }
  }
  failpoint('archive named');
  syncNames(options.destination, final);
  failpoint('directory synced');
}

function checkManifest(manifest: GrowingFile): void {
  const bytes = readFileSync(manifest.path);
  if (createHash('sha256').update(bytes).digest('hex') !== manifest.digest()) {
    throw new ArchiveError('WriteFailed', `${manifest.path}: what was read back is not what was written.`);
  }
}

/** From here on the archive exists, whatever fails. */
function syncNames(destination: string, final: string): void {
  try {
    syncDirectory(destination);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new ArchiveError(
      'WriteFailed',
      `${final} is written and verified, but its directory could not be synced (${codeOf(error)}), so a power failure may undo it. No archive was removed. Check the volume.`,
      { cause: error },
    );
  }
}
