import { createHash } from 'node:crypto';
import { readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { writeFileAtomic } from '../../posix/atomic-file.ts';
import { syncDirectory } from '../../posix/sync.ts';
import { codeOf, isSystemError } from '../../posix/system-error.ts';
import { publish } from '../destination/directory.ts';
import type { GrowingFile } from '../destination/growing-file.ts';
import { ArchiveError } from '../errors.ts';
import { isManagedName, manifestNameOf, suspicionNameOf, temporaryName } from '../format/names.ts';
import { encodeSuspicion, type Suspicion } from '../format/suspicion.ts';

export interface Publication {
  readonly archive: GrowingFile;
  readonly manifest: GrowingFile;
  readonly name: string;
  readonly suspicion: Suspicion | undefined;
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
export function publishArchive(publication: Publication): void {
  const { archive, manifest, name, suspicion, options, failpoint } = publication;
  checkManifest(manifest);
  failpoint('manifest synced');
  options.signal?.throwIfAborted();
  const final = path.join(options.destination, name);
  const finalManifest = path.join(options.destination, manifestNameOf(name));
  const finalSuspicion = path.join(options.destination, suspicionNameOf(name));
  // First, so that a suspicious archive never has its name without being called so.
  if (suspicion) writeSuspicion(finalSuspicion, suspicion);
  if (options.outputName !== undefined && !isManagedName(name)) {
    // Between the two renames the manifest does not fit the archive, and `verify` says so.
    renameSync(manifest.path, finalManifest);
    renameSync(archive.path, final);
  } else {
    let named: string[] = suspicion ? [finalSuspicion] : [];
    try {
      publish(manifest.path, finalManifest);
      named = [...named, finalManifest];
      failpoint('manifest named');
      publish(archive.path, final);
    } catch (error) {
      for (const file of named) rmSync(file, { force: true });
      throw error;
    }
  }
  failpoint('archive named');
  syncNames(options.destination, final);
  failpoint('directory synced');
}

function writeSuspicion(file: string, suspicion: Suspicion): void {
  const temporary = temporaryName(`suspicion-${process.pid}`);
  writeFileAtomic(file, encodeSuspicion(suspicion), { mode: 0o640, temporary });
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
