import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from './sync.ts';

export interface AtomicFileOptions {
  /** Permission bits of the new file; the umask applies. */
  readonly mode: number;
  /**
   * Name of the temporary file, in the same directory. Give a fixed name where only one process writes (under
   * a lock), so that a crash leaves at most one. The default contains the process id.
   */
  readonly temporary?: string;
}

/**
 * Replaces a file atomically and durably: after a crash at any point the old content or the new one is
 * there, whole. On failure the old file is unchanged and the temporary file removed.
 *
 * @throws A system error when the file cannot be written. A file system that cannot sync directories
 *   (EINVAL, ENOTSUP) is tolerated.
 */
export function writeFileAtomic(
  file: string,
  content: string | Uint8Array,
  options: AtomicFileOptions,
): void {
  const directory = path.dirname(file);
  const temporary = path.join(directory, options.temporary ?? `${path.basename(file)}.${process.pid}.tmp`);
  try {
    const fd = fs.openSync(temporary, 'w', options.mode);
    try {
      fs.writeFileSync(fd, content);
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(directory);
}

/** `writeFileAtomic` of one JSON value and a newline. */
export function writeJsonAtomic(
  file: string,
  value: unknown,
  options: AtomicFileOptions & { readonly indent?: number },
): void {
  writeFileAtomic(file, `${JSON.stringify(value, undefined, options.indent)}\n`, options);
}
